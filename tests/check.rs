//! `viridian check`: beside a server and without one, before and after someone
//! tampered with the record.

use std::fs;

use nix::sys::signal::Signal;
use rstest::rstest;
use rstest_reuse::apply;
use serde_json::Value;
use viridian_proto::v1::{Route, RouteStatus};

use crate::{
    engines::both_engines,
    harness::{
        Engine, FinishedProgram, Server, TestDatabase, TestEnv, closed_port, creation, eventually,
        finish, manual, viridian,
    },
};

/// As by a disk that lost some pages: nothing that reads the others notices.
#[tokio::test]
async fn g17_a_damaged_file_is_found_and_no_server_starts_on_it() {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let mut server = Server::on(database).await;
    let created = server.api().await.create(creation(2, manual())).await;
    created.expect("it is created");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.ended().await.code(), Some(0));
    let database = server.killed();
    let path = database.url().trim_start_matches("sqlite:");
    let mut bytes = fs::read(path).expect("the file");
    let middle = bytes.len() / PAGE / 2 * PAGE;
    bytes[middle..middle + 2 * PAGE].fill(0x5a);
    fs::write(path, &bytes).expect("it can be written");

    let found = check(&[database.url()]).await;
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.starts_with("damaged: "), "{found:?}");
    let found = check(&[database.url(), "-o", "json"]).await;
    let value: Value = serde_json::from_str(&found.stdout).expect("JSON");
    let damages = value["damages"].as_array().expect("a list");
    assert!(!damages.is_empty(), "{value}");
    let serve = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--database",
        database.url(),
    ];
    let run = finish(viridian(&serve)).await;
    assert_eq!(run.code, Some(100), "{run:?}");
    let error = run.stderr.lines().last().expect("a line");
    assert!(error.contains("it is damaged"), "{run:?}");
    assert_eq!(fs::read(path).expect("the file"), bytes, "it is left alone");
}

const PAGE: usize = 4096;

#[apply(both_engines)]
#[tokio::test]
async fn what_was_tampered_with_is_found(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, manual()).await;
    env.promote().await;
    // Then nothing moves by itself any more.
    eventually("the end of blue", async || {
        let blue = env.routes_of(&gate.current_revision_id).await;
        let ended = |route: &Route| route.status() == RouteStatus::Terminated;
        blue.iter().all(ended).then_some(())
    })
    .await;
    let url = env.server.database().url().to_owned();

    let sound = check(&[&url, "--grace", "30s"]).await;
    assert_eq!(sound.code, Some(0), "{sound:?}");
    assert_eq!(sound.stdout, "27 invariants hold on 1 deployment\n");
    let before = env.get().await;
    assert_eq!(env.get().await, before, "nothing is changed");

    let id = before.id;
    let database = env.server.killed();
    database
        .execute("UPDATE deployments SET last_history = last_history + 1")
        .await;
    let broken = check(&[&url]).await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let lines: Vec<_> = broken.stdout.lines().collect();
    let [violation, summary] = lines.as_slice() else {
        panic!("{broken:?}")
    };
    assert!(
        violation.starts_with(&format!("I7: deployment {id} has ")),
        "{violation}"
    );
    assert_eq!(*summary, "1 violation of 25 invariants on 1 deployment");

    let broken = check(&[&url, "-o", "json"]).await;
    assert_eq!(broken.code, Some(1), "{broken:?}");
    let value: Value = serde_json::from_str(&broken.stdout).expect("JSON");
    assert_eq!(value["deployments"], 1);
    assert_eq!(value["invariants"].as_array().map(Vec::len), Some(25));
    assert_eq!(value["violations"][0]["invariant"], "I7");
    assert_eq!(value["violations"][0]["deployment"], id.as_str());
}

#[apply(both_engines)]
#[tokio::test]
async fn a_database_without_our_tables_is_a_configuration_error(#[case] engine: Engine) {
    let database = TestDatabase::create(engine).await;
    let run = check(&[database.url()]).await;
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
    let why = match engine {
        Engine::Sqlite => "there is no such file",
        Engine::Postgres => "none of Viridian's tables",
    };
    assert!(one_line(&run).contains(why), "{run:?}");
}

#[tokio::test]
async fn it_fails_as_a_server_does() {
    let run = check(&["mysql://127.0.0.1/viridian"]).await;
    assert_eq!(run.code, Some(CONFIG), "{run:?}");
    one_line(&run);
    let url = format!("postgres://me:secret@{}/viridian", closed_port());
    let run = check(&[&url]).await;
    assert_eq!(run.code, Some(UNAVAILABLE), "{run:?}");
    assert!(!one_line(&run).contains("secret"), "{run:?}");
}

async fn check(arguments: &[&str]) -> FinishedProgram {
    finish(viridian(&[&["check", "--database"], arguments].concat())).await
}

fn one_line(run: &FinishedProgram) -> &str {
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
    assert!(
        run.stderr.starts_with("error: ") && run.stdout.is_empty(),
        "{run:?}"
    );
    &run.stderr
}

/// As sysexits.h has them.
const CONFIG: i32 = 100;
const UNAVAILABLE: i32 = 101;
