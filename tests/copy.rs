//! `viridian copy`: a server goes on with PostgreSQL where another stopped with
//! SQLite.

use crate::harness::{
    Engine, FinishedProgram, REFERENCE, Server, TestDatabase, TestEnv, finish, ids, manual,
    promotion, viridian,
};

#[tokio::test]
async fn a_server_goes_on_where_another_stopped() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let before = env.at_gate(2, manual()).await;
    let routes = env.routes().await;
    let target = TestDatabase::create(Engine::Postgres).await;
    let from = env.server.database().url().to_owned();

    let refused = copy(&from, target.url()).await;
    assert_eq!(refused.code, Some(CONFIG), "{refused:?}");
    assert!(refused.stderr.contains("another server"), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");

    let _source = env.server.killed();
    let copied = copy(&from, target.url()).await;
    assert_eq!(copied.code, Some(0), "{copied:?}");
    let begin = "copied: deployments 1, revisions 2, routes 4, ";
    assert!(copied.stdout.starts_with(begin), "{copied:?}");
    let again = copy(&from, target.url()).await;
    assert_eq!(again.code, Some(CONFIG), "{again:?}");
    assert!(again.stderr.contains("not empty"), "{again:?}");
    let checked = viridian(&["check", "--database", target.url()]);
    let checked = finish(checked).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");

    let server = Server::on(target).await;
    let api = server.api().await;
    assert_eq!(api.get(REFERENCE).await, before);
    assert_eq!(api.list_routes(REFERENCE).await, routes);
    let promoted = api.promote(promotion(REFERENCE)).await;
    let promoted = promoted.expect("green was ready").promoted_route_ids;
    let of_green = |id: &String| ids(&routes).contains(id);
    assert_eq!(promoted.iter().filter(|id| of_green(id)).count(), 2);
}

async fn copy(from: &str, to: &str) -> FinishedProgram {
    finish(viridian(&["copy", "--from", from, "--to", to])).await
}

/// As sysexits.h has it.
const CONFIG: i32 = 100;
