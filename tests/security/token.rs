//! `viridian token`, and tokens on the command line and from an agent.

use serde_json::Value;

use super::staff::{GuardedServer, digest, of_token};
use crate::harness::{FinishedProgram, closed_port, eventually, finish, viridian};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_let_in_by_the_entry_that_comes_with_it() {
    let new = [
        "token",
        "--name",
        "the pipeline",
        "--role",
        "operator",
        "--role",
        "proxy",
    ];
    let arguments = [&new[..], &["--project", "shop", "-o", "json"]].concat();
    let run = finish(viridian(&arguments)).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let made: Value = serde_json::from_str(&run.stdout).expect("JSON");
    let token = made["token"].as_str().expect("a token");
    let entry = made["entry"].as_str().expect("an entry");
    assert!(entry.contains(&digest(token)), "{entry}");
    assert!(!entry.contains(token), "{entry}");

    let guarded = GuardedServer::start(&[entry.to_owned()]).await;
    let client = guarded.client(token).await;
    client.create("shop", "web", 0).await.expect("let in");
    let url = guarded.server.url();
    let mut command = viridian(&["deployment", "get", "shop/web", "--server", &url]);
    command.env("VIRIDIAN_TOKEN", token);
    let run = finish(command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = get(&url, "vrd_wrong").await;
    assert_eq!(run.code, Some(64 + 16), "{run:?}");
    assert!(run.stderr.contains("CREDENTIALS_INVALID"), "{run:?}");
    assert!(!run.stderr.contains("vrd_wrong"), "{run:?}");
}

#[tokio::test]
async fn it_is_shown_for_people_too_and_kept_nowhere() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let arguments = [
        "token",
        "--name",
        "ci",
        "--role",
        "viewer",
        "--project",
        "*",
    ];
    let mut command = viridian(&arguments);
    command
        .current_dir(folder.path())
        .env("HOME", folder.path());
    let run = finish(command).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    let tokens: Vec<_> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("vrd_"))
        .collect();
    let [token] = tokens[..] else {
        panic!("{run:?}")
    };
    let (_, entry) = run.stdout.split_once("[[credential]]").expect("an entry");
    assert!(entry.contains(&digest(token)), "{run:?}");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "nothing is written");
}

#[tokio::test]
async fn what_the_file_could_not_have_is_bad_usage() {
    for (name, project) in [("coordinator", "shop"), ("", "shop"), ("ci", "no project")] {
        let arguments = [
            "token",
            "--name",
            name,
            "--role",
            "viewer",
            "--project",
            project,
        ];
        let run = finish(viridian(&arguments)).await;
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    }
}

#[tokio::test]
async fn a_token_does_not_go_to_another_machine_in_clear() {
    let run = get("http://example.invalid:1", "vrd_secret").await;
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--token-in-clear"), "{run:?}");
    assert!(!run.stderr.contains("secret"), "{run:?}");
    let mut command = viridian(&["agent", "--server", "http://example.invalid:1"]);
    command.env("VIRIDIAN_TOKEN", "vrd_secret");
    let run = finish(command).await;
    assert_eq!(run.code, Some(100), "{run:?}");
    assert!(!run.stderr.contains("secret"), "{run:?}");
    // Told to, it goes; nobody is there.
    let url = format!("http://{}", closed_port());
    let mut command = viridian(&["deployment", "list", "--server", &url, "--token-in-clear"]);
    command.env("VIRIDIAN_TOKEN", "vrd_secret");
    assert_eq!(finish(command).await.code, Some(64 + 14));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_shows_its_token() {
    let guarded = GuardedServer::start(&[
        of_token("alice", "vrd_alice", &["operator", "agent"], &["*"]),
        of_token("machine", "vrd_machine", &["agent"], &["shop"]),
    ])
    .await;
    let alice = guarded.client("vrd_alice").await;
    for project in ["shop", "bank"] {
        alice.create(project, "web", 1).await.expect("created");
    }
    let url = guarded.server.url();
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut command = viridian(&["agent", "--server", &url, "--resource-group", "test"]);
    command
        .env("VIRIDIAN_TOKEN", "vrd_machine")
        .env("VIRIDIAN_STATE_DIR", state.path())
        .env("VIRIDIAN_LOG", "trace");
    let mut agent = command.spawn().expect("the program can be started");
    // The image of the fixture is nothing that an agent can run.
    let failed = async |project: &str| {
        let request = viridian_proto::v1::ListRoutesRequest {
            deployment: format!("{project}/web"),
            ..viridian_proto::v1::ListRoutesRequest::default()
        };
        let reply = alice.deployments().list_routes(request).await;
        let routes = reply.expect("a list").into_inner().routes;
        routes.iter().any(|route| !route.failure.is_empty())
    };
    eventually("a report", async || failed("shop").await.then_some(())).await;
    assert!(!failed("bank").await, "that is not the machine's");
    agent.start_kill().expect("it runs");
    let output = agent.wait_with_output().await.expect("it ended");
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains("TRACE"), "as much as can be");
    assert!(!log.contains("vrd_machine"), "{log}");
}

async fn get(url: &str, token: &str) -> FinishedProgram {
    let arguments = [
        "deployment",
        "get",
        "shop/web",
        "--server",
        url,
        "--token",
        token,
    ];
    finish(viridian(&arguments)).await
}
