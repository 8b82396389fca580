//! Completions and the manual.

use std::fs;

use rstest::rstest;

use crate::harness::{finish, viridian};

#[rstest]
#[case::bash("bash", "complete -F _viridian")]
#[case::zsh("zsh", "#compdef viridian")]
#[case::fish("fish", "complete -c viridian")]
#[case::elvish("elvish", "edit:completion")]
#[case::powershell("powershell", "Register-ArgumentCompleter")]
#[tokio::test]
async fn every_shell_can_complete(#[case] shell: &str, #[case] text: &str) {
    let run = finish(viridian(&["completions", shell])).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains(text), "{run:?}");
    for word in ["promote", "expected-revision", "rollback"] {
        assert!(run.stdout.contains(word), "{word}");
    }
}

/// bash itself takes the script, and completes with it.
#[tokio::test]
async fn bash_completes_a_verb() {
    let script = finish(viridian(&["completions", "bash"])).await.stdout;
    let ask = "\nCOMP_WORDS=(viridian deployment prom)\nCOMP_CWORD=2\n\
               _viridian viridian prom deployment\necho \"${COMPREPLY[@]}\"\n";
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["-c", &format!("{script}{ask}")]);
    let run = finish(bash).await;
    assert_eq!(run.stdout, "promote\n", "{}", run.stderr);
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
