//! SIGTERM: what runs is finished, streams are ended with a reason, and what was
//! there is there again after the next start.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use nix::sys::signal::Signal;
use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::JoinSet;
use tonic::{Code, Status, Streaming};
use viridian_proto::v1::{
    CreateDeploymentRequest, Deployment, UpdateDeploymentRequest, WatchAssignmentsRequest,
    WatchTrafficRequest,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, GROUP, REFERENCE, Server, TestEnv, count, creation, eventually, manual,
        refused, update, within,
    },
};

#[rstest]
#[case::sqlite(Engine::Sqlite, Signal::SIGTERM)]
#[case::postgres(Engine::Postgres, Signal::SIGTERM)]
#[case::interrupt(Engine::Sqlite, Signal::SIGINT)]
#[case::e11_closed_terminal(Engine::Sqlite, Signal::SIGHUP)]
#[tokio::test]
async fn a_signal_ends_streams_and_then_the_server(#[case] engine: Engine, #[case] signal: Signal) {
    let mut env = TestEnv::start(engine).await;
    env.serving(2, manual()).await;
    let mut one = env.api.watch(REFERENCE).await;
    one.next().await.expect("the present table");
    let mut all = open(env.api.traffic().watch_traffic(everything()).await);
    within("the present table", all.message())
        .await
        .expect("a stream")
        .expect("a table");
    let mut assignments = open(env.api.routes().watch_assignments(group()).await);

    env.server.signal(signal);
    let ends = [
        one.next().await.err(),
        within("the end of the stream", all.message()).await.err(),
        within("the end of the stream", assignments.message())
            .await
            .err(),
    ];
    for end in ends {
        let end = end.expect("a stream ends with a reason");
        let details = refused(&end, Code::Unavailable, "SHUTTING_DOWN");
        assert!(details.retry_info().is_some(), "when to come back");
    }
    let status = env.server.ended().await;
    assert_eq!(status.code(), Some(0), "{status:?}");
    let log = env.server.log();
    assert!(!log.contains("was cut off"), "by its time limit:\n{log}");
    assert!(
        !log.contains("panicked") && !log.contains("a bug in"),
        "{log}"
    );
}

/// A cycle that has begun is not given up, and not left to the next server.
#[tokio::test]
async fn the_batch_in_hand_is_finished() {
    let mut env = TestEnv::start(Engine::Postgres).await;
    env.serving(1, manual()).await;
    let database = env.server.database();
    database.slow_down_cycles().await;
    env.deploy().await;
    eventually("the cycle to be under way", async || {
        (database.cycles_under_way().await == 1).then_some(())
    })
    .await;
    let routes = "SELECT COUNT(*) FROM routes";
    assert_eq!(database.number(routes).await, 1, "it is not committed yet");
    env.server.signal(Signal::SIGTERM);
    assert!(env.server.ended().await.success());
    let created = env.server.database().number(routes).await;
    assert_eq!(created, 2, "it was given up");
}

/// Under load, again and again. `VIRIDIAN_SHUTDOWNS` says how often.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_under_load_is_there_after_a_sigterm(#[case] engine: Engine) {
    let rounds = count("VIRIDIAN_SHUTDOWNS", 3);
    let mut server = Server::start(engine).await;
    let mut said = HashMap::new();
    for caller in 0..CALLERS {
        let creation = CreateDeploymentRequest {
            name: format!("load-{caller}"),
            ..creation(0, manual())
        };
        let created = server.api().await.create(creation).await;
        said.insert(caller, created.expect("a deployment"));
    }
    for _ in 0..rounds {
        server = round(server, &mut said).await;
    }
}

/// One SIGTERM under load, and the next start. `said` is what each caller was
/// told last.
async fn round(mut server: Server, said: &mut HashMap<usize, Deployment>) -> Server {
    let api = server.api().await;
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut callers = JoinSet::new();
    for (caller, last) in said.drain() {
        let own = server.api().await;
        let acknowledged = Arc::clone(&acknowledged);
        callers.spawn(async move { (caller, call_on(&own, last, &acknowledged).await) });
    }
    let mut tables = open(api.traffic().watch_traffic(everything()).await);
    let mut assignments = open(api.routes().watch_assignments(group()).await);
    let ends = tokio::spawn(async move {
        [
            within("the end of the tables", end_of(&mut tables)).await,
            within("the end of the assignments", end_of(&mut assignments)).await,
        ]
    });
    eventually("some load", async || {
        (acknowledged.load(Ordering::Relaxed) >= 10 * CALLERS).then_some(())
    })
    .await;

    server.signal(Signal::SIGTERM);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status:?}");
    let log = server.log();
    assert!(!log.contains("was cut off"), "by its time limit:\n{log}");
    for end in ends.await.expect("both streams end") {
        refused(&end, Code::Unavailable, "SHUTTING_DOWN");
    }
    said.extend(within("the callers", callers.join_all()).await);

    let server = Server::on(server.killed()).await;
    let api = server.api().await;
    for last in said.values_mut() {
        let now = api.get(&last.id).await;
        // One call of each may have been done without its caller being told.
        let more = now.generation - last.generation;
        assert!(
            (0..=1).contains(&more),
            "told {last:?}, and there is {now:?}"
        );
        if more == 0 {
            assert_eq!(now.labels, last.labels);
        }
        *last = now;
    }
    server
}

/// Changes a deployment over and over until the server is gone. Gives what it
/// said last.
async fn call_on(api: &Api, mut last: Deployment, acknowledged: &AtomicUsize) -> Deployment {
    loop {
        let request = UpdateDeploymentRequest {
            labels: [("generation".to_owned(), last.generation.to_string())].into(),
            expected_generation: Some(last.generation),
            ..update(&last.id)
        };
        match api.update(request).await {
            Ok(changed) => {
                last = changed;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(gone) => {
                // From the server that, or nothing: then the connection is gone.
                let silent = gone.source().is_some();
                assert!(silent || gone.code() == Code::Unavailable, "{gone:?}");
                return last;
            }
        }
    }
}

/// What a stream ends with.
async fn end_of<T>(stream: &mut Streaming<T>) -> Status {
    loop {
        match stream.message().await {
            Ok(message) => assert!(message.is_some(), "it ends with a reason"),
            Err(end) => return end,
        }
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn a_killed_server_comes_back_to_what_it_had_said(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, manual()).await;
    let promoted = env.promote().await.deployment.expect("a deployment");
    let TestEnv {
        scheduler, server, ..
    } = env;
    drop(scheduler);
    let server = server.restart().await;
    let api = server.api().await;
    let after = api.get(REFERENCE).await;
    assert_eq!(after.current_revision_id, gate.deploying_revision_id);
    assert_eq!(after.generation, promoted.generation);
    assert!(after.epoch >= promoted.epoch);
    assert_eq!(api.table(REFERENCE).await.endpoints.len(), 2);
}

fn open<T>(reply: Result<tonic::Response<T>, tonic::Status>) -> T {
    reply.expect("a stream").into_inner()
}

fn everything() -> WatchTrafficRequest {
    WatchTrafficRequest {
        deployments: Vec::new(),
        all: true,
        ..WatchTrafficRequest::default()
    }
}

fn group() -> WatchAssignmentsRequest {
    WatchAssignmentsRequest {
        resource_group: GROUP.to_owned(),
    }
}

const CALLERS: usize = 8;
