//! SIGTERM: what runs is finished, streams are ended with a reason, and what was
//! there is there again after the next start.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rstest::rstest;
use tonic::Code;
use viridian_proto::v1::{WatchAssignmentsRequest, WatchTrafficRequest};

use crate::harness::{Engine, GROUP, REFERENCE, World, manual, refused, within};

#[rstest]
#[case::sqlite(Engine::Sqlite, Signal::SIGTERM)]
#[case::postgres(Engine::Postgres, Signal::SIGTERM)]
#[case::interrupt(Engine::Sqlite, Signal::SIGINT)]
#[tokio::test]
async fn a_signal_ends_streams_and_then_the_server(#[case] engine: Engine, #[case] signal: Signal) {
    let mut world = World::start(engine).await;
    world.serving(2, manual()).await;
    let mut one = world.api.watch(REFERENCE).await;
    one.next().await.expect("the present table");
    let all = WatchTrafficRequest {
        deployments: Vec::new(),
        all: true,
    };
    let mut all = open(world.api.traffic().watch_traffic(all).await);
    within("the present table", all.message())
        .await
        .expect("a stream")
        .expect("a table");
    let group = WatchAssignmentsRequest {
        resource_group: GROUP.to_owned(),
    };
    let mut assignments = open(world.api.routes().watch_assignments(group).await);

    let asked = Instant::now();
    world.server.signal(signal);
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
    let status = world.server.ended().await;
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status:?}");
    assert!(took < Duration::from_secs(10), "it took {took:?}");
    let log = world.server.log();
    assert!(
        !log.contains("panicked") && !log.contains("a bug in"),
        "{log}"
    );
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_killed_server_comes_back_to_what_it_had_said(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let gate = world.at_gate(2, manual()).await;
    let promoted = world.promote().await.deployment.expect("a deployment");
    let World { fleet, server, .. } = world;
    drop(fleet);
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
