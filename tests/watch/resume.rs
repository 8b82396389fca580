//! Going on with a token.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::Code;
use viridian_proto::v1::{DeploymentEventKind as Kind, WatchDeploymentsRequest};

use super::{change, deployment, destroy, follow, gap, idle};
use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, Server, behind, eventually, of_deployments, of_project, refused},
};

#[apply(both_engines)]
#[tokio::test]
async fn a_token_goes_on_where_it_was_given_also_behind_a_restart(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let it = idle(&api, "web").await;
    let mut events = follow(&api, &[REFERENCE]).await;
    let mut seen = vec![events.event().await];
    change(&api, &it.id, 1).await;
    seen.push(events.event().await);
    let token = seen[1].resume_token.clone();
    // These it does not see: one while it is away, one before the restart.
    drop(events);
    change(&api, &it.id, 2).await;
    change(&api, &it.id, 3).await;

    let server = server.restart().await;
    let api = server.api().await;
    let mut events = api.follow(behind(&token)).await.expect("a watch");
    seen.push(events.event().await);
    seen.push(events.event().await);
    let last = change(&api, &it.id, 4).await;
    seen.push(events.event().await);
    assert_eq!(gap(&seen), None);
    assert_eq!(deployment(&seen[4]).sequence, last.sequence);
    assert!(seen[1..].iter().all(|event| event.kind() == Kind::Updated));

    // The same token as often as one likes, also with its question beside it.
    let again = WatchDeploymentsRequest {
        resume_token: token,
        ..of_deployments(&[REFERENCE])
    };
    let mut events = api.follow(again).await.expect("a watch");
    assert_eq!(events.event().await.deployment, seen[2].deployment);
}

#[apply(both_engines)]
#[tokio::test]
async fn the_end_of_a_deployment_is_told_to_who_was_away(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let it = idle(&api, "web").await;
    let token = follow(&api, &[REFERENCE]).await.event().await.resume_token;
    destroy(&api, &it).await;
    // Another one that has the name by now.
    idle(&api, "web").await;
    let request = WatchDeploymentsRequest {
        resume_token: token,
        ..of_deployments(&[REFERENCE])
    };
    let mut events = api.follow(request).await.expect("a watch");
    let mut last = events.event().await;
    while last.kind() != Kind::Destroyed {
        assert_eq!(deployment(&last).id, it.id);
        last = events.event().await;
    }
    assert_eq!(deployment(&last).id, it.id);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_watch_may_break_among_its_snapshots(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(idle(&api, name).await.id);
    }
    let mut events = api.follow(of_project("shop")).await.expect("a watch");
    let first = events.event().await;
    drop(events);
    // Of one whose snapshot it has, and of one whose snapshot it has not.
    let changes = [
        change(&api, &ids[0], 1).await,
        change(&api, &ids[2], 1).await,
    ];
    let new = idle(&api, "d").await;

    let mut events = api
        .follow(behind(&first.resume_token))
        .await
        .expect("a watch");
    let mut told = vec![(first.kind(), deployment(&first).id.clone(), 1)];
    for _ in 0..5 {
        let event = events.event().await;
        let it = deployment(&event);
        told.push((event.kind(), it.id.clone(), it.sequence));
    }
    let expected = [
        (Kind::Snapshot, ids[0].clone(), 1),
        (Kind::Snapshot, ids[1].clone(), 1),
        (Kind::Snapshot, ids[2].clone(), 1),
        (Kind::Updated, ids[0].clone(), changes[0].sequence),
        (Kind::Updated, ids[2].clone(), changes[1].sequence),
        (Kind::Created, new.id, 1),
    ];
    assert_eq!(told, expected);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_token_that_is_too_old_is_told_so(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let it = idle(&api, "web").await;
    let quiet = idle(&api, "quiet").await;
    let old = follow(&api, &[&it.id]).await.event().await.resume_token;
    let of_quiet = follow(&api, &[&quiet.id]).await.event().await.resume_token;
    change(&api, &it.id, 1).await;
    let last = change(&api, &it.id, 2).await;
    let young = follow(&api, &[&it.id]).await.event().await.resume_token;
    let age = "UPDATE events SET created_at = '2020-01-01T00:00:00.000000Z'";
    server.database().execute(age).await;

    // It prunes when it starts.
    let server = server.restart().await;
    let api = server.api().await;
    let status = eventually("the end of the old events", async || {
        let mut events = api.follow(behind(&old)).await.expect("a watch");
        events.next().await.err()
    })
    .await;
    refused(&status, Code::OutOfRange, "RESUME_TOKEN_EXPIRED");

    // Nothing is missing behind the others.
    let mut events = [
        api.follow(behind(&young)).await.expect("a watch"),
        api.follow(behind(&of_quiet)).await.expect("a watch"),
    ];
    let next = change(&api, &it.id, 3).await;
    assert_eq!(next.sequence, last.sequence + 1);
    assert_eq!(deployment(&events[0].event().await).sequence, next.sequence);
    let next = change(&api, &quiet.id, 1).await;
    assert_eq!(deployment(&events[1].event().await).sequence, next.sequence);
}
