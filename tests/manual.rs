//! Completions and the manual.

use std::{fs, path::Path, process::Stdio};

use rstest::rstest;

use crate::harness::{Engine, TestEnv, closed_port, finish, manual, viridian};

#[rstest]
#[case::bash("bash", "complete")]
#[case::zsh("zsh", "#compdef viridian")]
#[case::fish("fish", "viridian")]
#[case::elvish("elvish", "edit:completion")]
#[case::powershell("powershell", "Register-ArgumentCompleter")]
#[tokio::test]
async fn every_shell_can_complete(#[case] shell: &str, #[case] text: &str) {
    let run = finish(viridian(&["completions", shell])).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains(text), "{run:?}");
    // The candidates come from the program.
    assert!(run.stdout.contains("VIRIDIAN_COMPLETE"), "{run:?}");
}

/// bash itself takes the script, and completes with it.
#[tokio::test]
async fn bash_completes_a_verb() {
    assert_eq!(complete(None, &["deployment", "prom"]).await, "promote");
    let flags = complete(None, &["deployment", "promote", "--expected-r"]).await;
    assert_eq!(flags, "--expected-revision");
}

/// Names come from the server, which the environment or the line names.
#[tokio::test]
async fn names_are_completed_from_the_server() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let url = env.server.url();
    let named = complete(Some(&url), &["deployment", "get", "sho"]).await;
    assert_eq!(named, "shop/web");
    let by_flag = ["deployment", "--server", &url, "watch", "shop/"];
    assert_eq!(complete(None, &by_flag).await, "shop/web");
    let project = complete(Some(&url), &["deployment", "list", "--project", ""]).await;
    assert_eq!(project, "shop");
    let revisions = ["deployment", "activate", "shop/web", "--revision", ""];
    assert_eq!(complete(Some(&url), &revisions).await, "1");
    let route = env.routes().await.remove(0).id;
    let routes = ["deployment", "drain", "shop/web", &route[..4]];
    assert_eq!(complete(Some(&url), &routes).await, route);
    let none = complete(Some(&url), &["deployment", "get", "bank/"]).await;
    assert_eq!(none, "");
}

/// Someone is typing: a server that is away, or does not answer, is not worth a word.
#[tokio::test]
async fn without_a_server_there_are_no_names_and_no_errors() {
    let away = format!("http://{}", closed_port());
    let none = complete(Some(&away), &["deployment", "get", "sho"]).await;
    assert_eq!(none, "");
    // It takes the connection, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("its address");
    let silent_url = format!("http://{address}");
    let none = complete(Some(&silent_url), &["deployment", "get", "sho"]).await;
    assert_eq!(none, "");
}

/// What bash offers for the last word. Nothing may be on stderr.
async fn complete(server: Option<&str>, words: &[&str]) -> String {
    let script = finish(viridian(&["completions", "bash"])).await.stdout;
    let program = Path::new(env!("CARGO_BIN_EXE_viridian"));
    let folder = program.parent().expect("a folder").display();
    let quoted = words.iter().map(|word| format!("'{word}'"));
    let quoted = quoted.collect::<Vec<_>>().join(" ");
    let (count, last) = (words.len(), words.last().expect("a word"));
    let ask = format!(
        "PATH={folder}:$PATH\n{script}\nCOMP_WORDS=(viridian {quoted})\nCOMP_CWORD={count}\n\
         COMP_TYPE=9\n_clap_complete_viridian viridian '{last}' ''\necho \"${{COMPREPLY[@]}}\"\n"
    );
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", &ask]).env_remove("VIRIDIAN_SERVER");
    if let Some(server) = server {
        bash.env("VIRIDIAN_SERVER", server);
    }
    bash.stdout(Stdio::piped()).stderr(Stdio::piped());
    let run = finish(bash).await;
    assert_eq!(run.stderr, "", "{words:?}");
    run.stdout.trim().to_owned()
}

#[tokio::test]
async fn the_manual_has_a_page_for_every_command() {
    let run = finish(viridian(&["man"])).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains(".TH viridian 1"), "{run:?}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let to = folder.path().display().to_string();
    let run = finish(viridian(&["man", "--to", &to])).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    for page in [
        "viridian.1",
        "viridian-serve.1",
        "viridian-deployment-promote.1",
    ] {
        let text = fs::read_to_string(folder.path().join(page)).expect(page);
        assert!(text.contains(".TH"), "{page}");
    }
    let hidden = folder.path().join("viridian-route-supervisor.1");
    assert!(!hidden.exists(), "what is not for people has no page");

    let missing = format!("{to}/missing");
    let run = finish(viridian(&["man", "--to", &missing])).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains(&missing), "{run:?}");
}
