//! `viridian top`: the deployments in progress.

use serde_json::Value;

use crate::harness::{Engine, FinishedProgram, Terminal, TestEnv, finish, manual, viridian};

#[tokio::test]
async fn only_deployments_in_progress_are_listed() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    let mut idle = crate::harness::creation(1, manual());
    idle.name = "idle".to_owned();
    idle.initial_revision = None;
    env.api.create(idle).await.expect("it is created");
    let still = top(&url, &[]).await;
    assert_eq!(still.stdout, "no deployments in progress\n");

    env.bring_up().await;
    let table = top(&url, &[]).await;
    assert_eq!(table.stdout.lines().count(), 2, "{table:?}");
    assert!(table.stdout.contains("shop/web"), "{table:?}");
    assert!(
        table.stdout.contains("waiting for someone to promote"),
        "{table:?}"
    );
    let other = top(&url, &["--project", "other"]).await;
    assert_eq!(other.stdout, "no deployments in progress\n");
    let json = top(&url, &["-o", "json"]).await;
    let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let names: Vec<_> = json["deployments"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["name"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(names, ["web"]);
}

#[tokio::test]
async fn on_a_terminal_the_table_is_updated() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let terminal = Terminal::start(&env.server.url(), &["top", "--interval", "200ms"]);
    terminal.shows("no deployments in progress").await;
    env.bring_up().await;
    terminal.shows("1 deployment in progress").await;
    terminal.shows("shop/web    AWAITING_PROMOTION").await;
    env.promote().await;
    terminal.shows("no deployments in progress").await;
    terminal.press(&["q"]);
    assert_eq!(terminal.ended().await.0, 0);
}

async fn top(url: &str, arguments: &[&str]) -> FinishedProgram {
    let mut command = viridian(&[&["top"], arguments].concat());
    command.env("VIRIDIAN_SERVER", url);
    let run = finish(command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stderr, "");
    run
}
