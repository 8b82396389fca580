//! WatchDeployments: each change once, in order, whatever breaks in between.

mod bad_input;
mod many;
mod names;
mod protocol;
mod resume;
mod slow;
mod tokens;

use std::{collections::BTreeMap, time::SystemTime};

use nix::sys::signal::Signal;
use rstest::rstest;
use rstest_reuse::apply;
use tonic::Code;
use viridian_proto::v1::{
    Deployment, DeploymentEvent, DeploymentEventKind as Kind, DeploymentLifecycle,
    UpdateDeploymentRequest, WatchAssignmentsRequest, WatchTrafficRequest,
    watch_assignments_response, watch_deployments_response, watch_traffic_response,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, EventStream, REFERENCE, Server, TestEnv, WAIT_TIMEOUT, creation, delete,
        manual, of_deployments, of_project, pause, refused, update, within,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn a_rollout_is_told_from_its_beginning_to_its_end(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(2, manual()).await;
    let mut events = follow(&env.api, &[REFERENCE]).await;
    let mut seen = vec![events.event().await];
    assert_eq!(seen[0].kind(), Kind::Snapshot);
    assert!(deployment(&seen[0]).sequence >= serving.sequence);
    env.bring_up().await;
    env.promote().await;
    while seen.last().expect("one").kind() != Kind::Promoted {
        seen.push(events.event().await);
    }
    let after = deployment(seen.last().expect("one"));
    assert_eq!(after.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!(after.deploying_revision_id, "");
    assert_ne!(after.current_revision_id, serving.current_revision_id);
    assert_eq!(gap(&seen), None);
    let kinds: Vec<Kind> = seen.iter().map(DeploymentEvent::kind).collect();
    assert!(
        kinds.contains(&Kind::Moved) && kinds.contains(&Kind::Progressed),
        "{kinds:?}"
    );
    assert_eq!(
        kinds.iter().filter(|kind| **kind == Kind::Snapshot).count(),
        1
    );
}

#[apply(both_engines)]
#[tokio::test]
async fn a_project_has_those_that_come_and_go(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let first = idle(&api, "first").await;
    let gone = idle(&api, "gone").await;
    let mut other = creation(0, manual());
    other.project = "other".to_owned();
    api.create(other).await.expect("it is created");
    destroy(&api, &gone).await;

    let mut events = api.follow(of_project("shop")).await.expect("a watch");
    let snapshot = events.event().await;
    assert_eq!(snapshot.kind(), Kind::Snapshot);
    assert_eq!(
        deployment(&snapshot).id,
        first.id,
        "and not the one that is gone"
    );
    let second = idle(&api, "second").await;
    let created = events.event().await;
    assert_eq!(created.kind(), Kind::Created);
    assert_eq!(deployment(&created).id, second.id);

    // All of it to the end, and then what is new.
    destroy(&api, &second).await;
    let mut last = events.event().await;
    while last.kind() != Kind::Destroyed {
        assert_eq!(deployment(&last).id, second.id);
        last = events.event().await;
    }
    assert_eq!(
        deployment(&last).lifecycle(),
        DeploymentLifecycle::Destroyed
    );
    let again = idle(&api, "second").await;
    let created = events.event().await;
    assert_eq!(deployment(&created).id, again.id);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_watch_of_what_is_gone_stays_until_the_server_stops(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let it = idle(&api, "web").await;
    let mut events = follow(&api, &[REFERENCE]).await;
    assert_eq!(events.event().await.kind(), Kind::Snapshot);
    destroy(&api, &it).await;
    while events.event().await.kind() != Kind::Destroyed {}
    // By its id it can still be had as it was at the end.
    let mut late = follow(&api, &[&it.id]).await;
    let last = late.event().await;
    assert_eq!(last.kind(), Kind::Snapshot);
    assert_eq!(
        deployment(&last).lifecycle(),
        DeploymentLifecycle::Destroyed
    );

    server.signal(Signal::SIGTERM);
    for stream in [&mut events, &mut late] {
        let end = stream.next().await.expect_err("the server stops");
        let details = refused(&end, Code::Unavailable, "SHUTTING_DOWN");
        assert!(details.retry_info().is_some(), "when to come back");
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn what_a_caller_has_done_is_in_the_snapshot(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let it = idle(&api, "web").await;
    for n in 0..20 {
        let changed = change(&api, &it.id, n).await;
        let snapshot = follow(&api, &[&it.id]).await.event().await;
        assert!(deployment(&snapshot).sequence >= changed.sequence);
    }
}

#[tokio::test]
async fn a_listener_that_was_cut_off_hears_again() {
    let server = Server::start(Engine::Postgres).await;
    let beside = server.beside().await;
    let (here, there) = (server.api().await, beside.api().await);
    let it = idle(&here, "web").await;
    let mut events = follow(&there, &[&it.id]).await;
    events.event().await;
    for n in 0..3 {
        server
            .database()
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid() \
                 AND (query LIKE '%pg_notify%' OR query LIKE 'LISTEN %')",
            )
            .await;
        let changed = change(&here, &it.id, n).await;
        assert_eq!(deployment(&events.event().await).sequence, changed.sequence);
    }
    let paused = here.deployments().pause_deployment(pause(&it.id)).await;
    paused.expect("it is paused");
    assert!(deployment(&events.event().await).paused);
}

#[apply(both_engines)]
#[tokio::test]
async fn streams_with_nothing_to_tell_are_heard_of(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let nobody = WatchAssignmentsRequest {
        resource_group: "nobody".to_owned(),
    };
    let all = WatchTrafficRequest {
        deployments: Vec::new(),
        all: true,
        ..WatchTrafficRequest::default()
    };
    let mut events = api.follow(of_project("shop")).await.expect("a watch").0;
    let assignments = api.routes().watch_assignments(nobody).await;
    let mut assignments = assignments.expect("a watch").into_inner();
    let tables = api.traffic().watch_traffic(all).await;
    let mut tables = tables.expect("a watch").into_inner();
    let (events, assignments, tables) = within("heartbeats", async {
        tokio::join!(events.message(), assignments.message(), tables.message())
    })
    .await;
    let events = events.expect("it is open").and_then(|it| it.payload);
    let Some(watch_deployments_response::Payload::Heartbeat(events)) = events else {
        panic!("a heartbeat: {events:?}")
    };
    let assignments = assignments.expect("it is open").and_then(|it| it.payload);
    let Some(watch_assignments_response::Payload::Heartbeat(assignments)) = assignments else {
        panic!("a heartbeat: {assignments:?}")
    };
    let tables = tables.expect("it is open").and_then(|it| it.payload);
    let Some(watch_traffic_response::Payload::Heartbeat(tables)) = tables else {
        panic!("a heartbeat: {tables:?}")
    };
    for time in [events.time, assignments.time, tables.time] {
        let time = SystemTime::try_from(time.expect("a time")).expect("one of ours");
        let off = SystemTime::now().duration_since(time).unwrap_or_default();
        assert!(off < WAIT_TIMEOUT, "{off:?}");
    }
}

async fn follow(api: &Api, references: &[&str]) -> EventStream {
    api.follow(of_deployments(references))
        .await
        .expect("a watch")
}

/// A deployment without a revision: nothing happens to it by itself.
async fn idle(api: &Api, name: &str) -> Deployment {
    let mut request = creation(0, manual());
    request.name = name.to_owned();
    request.initial_revision = None;
    api.create(request).await.expect("it is created")
}

/// Changes a label, which is one event.
async fn change(api: &Api, reference: &str, n: usize) -> Deployment {
    let reply = api
        .deployments()
        .update_deployment(labelled(reference, n, ""))
        .await;
    let reply = reply.expect("it is updated").into_inner();
    reply.deployment.expect("a deployment")
}

fn labelled(reference: &str, n: usize, padding: &str) -> UpdateDeploymentRequest {
    let mut labels = BTreeMap::from([("n".to_owned(), n.to_string())]);
    if !padding.is_empty() {
        labels.extend((0..20).map(|k| (format!("padding-{k}"), padding.to_owned())));
    }
    let mut request = update(reference);
    request.labels = labels;
    request
}

async fn destroy(api: &Api, deployment: &Deployment) {
    let deleted = api
        .deployments()
        .delete_deployment(delete(&deployment.id))
        .await;
    deleted.expect("it is deleted");
    let is_gone = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Destroyed;
    api.until(&deployment.id, "its end", is_gone).await;
}

fn deployment(event: &DeploymentEvent) -> &Deployment {
    event.deployment.as_ref().expect("a deployment")
}

/// Where events of one deployment do not follow one another, if anywhere.
fn gap(events: &[DeploymentEvent]) -> Option<(i64, i64)> {
    let sequences: Vec<i64> = events.iter().map(|it| deployment(it).sequence).collect();
    let pairs = sequences.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.into_iter().find(|(one, next)| *next != one + 1)
}
