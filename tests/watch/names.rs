//! What is watched by name is whatever has the name: also when it is deleted and made
//! again.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    CreateDeploymentRequest, DeploymentEventKind as Kind, TrafficTable, WatchDeploymentsRequest,
};

use super::{change, deployment, destroy, follow, idle};
use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, REFERENCE, Server, TableStream, TestEnv, behind, creation, delete, manual,
        of_deployments,
    },
};

/// The last table of the one before comes before the first of the next.
#[apply(both_engines)]
#[tokio::test]
async fn d6_a_watch_of_traffic_follows_the_name(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let first = env.serving(2, manual()).await;
    let mut by_name = env.api.watch(REFERENCE).await;
    let mut by_id = env.api.watch(&first.id).await;
    for watch in [&mut by_name, &mut by_id] {
        let table = watch.next().await.expect("the present table");
        assert_eq!(table.deployment_id, first.id);
    }
    env.api
        .deployments()
        .delete_deployment(delete(REFERENCE))
        .await
        .expect("deleted");
    let second = env
        .api
        .create(creation(1, manual()))
        .await
        .expect("the name is free");

    let empty = by_name.next().await.expect("the last table of the first");
    assert_eq!(
        (&empty.deployment_id, empty.endpoints.len()),
        (&first.id, 0)
    );
    let serving = table_with(&mut by_name, 1).await;
    assert_eq!(serving.deployment_id, second.id);
    // An id is one deployment for ever.
    let empty = by_id.next().await.expect("the last table of the first");
    assert_eq!(
        (&empty.deployment_id, empty.endpoints.len()),
        (&first.id, 0)
    );
    env.api
        .deployments()
        .delete_deployment(delete(REFERENCE))
        .await
        .expect("deleted");
    let end = tokio::time::timeout(Duration::from_millis(300), by_id.next()).await;
    assert!(end.is_err(), "nothing more comes: {end:?}");
}

/// As often as it is made, for each of several names, and from another server.
#[apply(both_engines)]
#[tokio::test]
async fn d6_a_name_is_followed_again_and_again(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let beside = match engine {
        Engine::Postgres => Some(server.beside().await),
        // One process has a SQLite file.
        Engine::Sqlite => None,
    };
    let (api, other) = (
        server.api().await,
        beside.as_ref().unwrap_or(&server).api().await,
    );
    let mut present = Vec::new();
    for name in ["web", "api"] {
        present.push(idle(&api, name).await);
    }
    let mut both = other.watch_several(&["shop/web", "shop/api"]).await;
    for _ in &present {
        both.next().await.expect("the present tables");
    }
    for _ in 0..3 {
        for one in &mut present {
            destroy(&api, one).await;
            // One of another project that has the name, and that is not watched.
            elsewhere(&api, &one.name).await;
            *one = idle(&api, &one.name).await;
            let table = both.next().await.expect("the table of the new one");
            assert_eq!(table.deployment_id, one.id);
        }
    }
}

async fn elsewhere(api: &Api, name: &str) {
    let request = CreateDeploymentRequest {
        project: format!("{name}-{}", uuid::Uuid::now_v7()),
        name: name.to_owned(),
        ..creation(0, manual())
    };
    api.create(request).await.expect("another project");
}

/// The next table with so many endpoints.
async fn table_with(tables: &mut TableStream, endpoints: usize) -> TrafficTable {
    loop {
        let table = tables.next().await.expect("a table");
        if table.endpoints.len() == endpoints {
            return table;
        }
    }
}

/// A watch of deployments, too: the end of the first comes before the second, and a token
/// goes on after either.
#[apply(both_engines)]
#[tokio::test]
async fn d6_a_watch_of_a_deployment_follows_the_name(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let first = idle(&api, "web").await;
    let mut by_name = follow(&api, &[REFERENCE]).await;
    let mut by_id = follow(&api, &[&first.id]).await;
    let token = by_name.event().await.resume_token;
    by_id.event().await;
    destroy(&api, &first).await;
    let second = idle(&api, "web").await;
    let changed = change(&api, &second.id, 1).await;

    let request = WatchDeploymentsRequest {
        resume_token: token,
        ..of_deployments(&[REFERENCE])
    };
    let mut resumed = api.follow(request).await.expect("a watch");
    for (at, events) in [&mut by_name, &mut resumed].into_iter().enumerate() {
        let mut last = events.event().await;
        while last.kind() != Kind::Destroyed {
            assert_eq!(deployment(&last).id, first.id);
            last = events.event().await;
        }
        let made = events.event().await;
        assert_eq!(
            (made.kind(), &deployment(&made).id),
            (Kind::Created, &second.id)
        );
        let updated = events.event().await;
        assert_eq!(deployment(&updated).sequence, changed.sequence);
        // Its token alone is about the second one as well.
        let more = change(&api, &second.id, 10 + at).await;
        let mut again = api
            .follow(behind(&updated.resume_token))
            .await
            .expect("a watch");
        assert_eq!(deployment(&again.event().await).id, more.id);
    }
    let mut last = by_id.event().await;
    while last.kind() != Kind::Destroyed {
        last = by_id.event().await;
    }
    let more = tokio::time::timeout(Duration::from_millis(300), by_id.next()).await;
    assert!(more.is_err(), "an id is one deployment for ever: {more:?}");
}
