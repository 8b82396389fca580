//! Rolling updates: routes are replaced step by step, and the table is never
//! short of one that serves.

use rstest::rstest;
use viridian_proto::v1::{
    DeploymentLifecycle, DeploymentPolicy, IntOrPercent, RollingUpdateSpec, RouteHealthStatus,
    RouteStatus, deployment_policy::Strategy, int_or_percent::Value,
};

use crate::harness::{Engine, Fate, REFERENCE, World, active, seconds, within};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn routes_are_replaced_within_the_surge(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let serving = world.serving(3, one_at_a_time()).await;
    let mut tables = world.api.watch(REFERENCE).await;
    let deploying = world.deploy().await;
    let new = deploying.deploying_revision_id;
    within("the rollout", async {
        loop {
            let table = tables.next().await.expect("a table");
            assert!(table.endpoints.len() >= 3, "{table:?}");
            let live = world.routes().await.into_iter().filter(|route| {
                matches!(
                    route.status(),
                    RouteStatus::Provisioning | RouteStatus::Running
                )
            });
            assert!(live.count() <= 4, "more than the target and the surge");
            if table.revision_id == new {
                break;
            }
        }
    })
    .await;
    let ready = world.ready().await;
    assert_eq!(ready.current_revision_id, new);
    assert_eq!(active(&world.routes_of(&new).await).len(), 3);
    assert!(active(&world.routes_of(&serving.current_revision_id).await).is_empty());
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn one_that_does_not_become_healthy_is_rolled_back(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let policy = DeploymentPolicy {
        progress_deadline: seconds(1.0),
        ..one_at_a_time()
    };
    let serving = world.serving(3, policy).await;
    let blue = world.routes_of(&serving.current_revision_id).await;
    world
        .fleet
        .plan(2, [Fate::Runs(RouteHealthStatus::Unhealthy)]);
    let deploying = world.deploy().await;
    let back = world
        .until("the roll-back", |it| {
            it.lifecycle() == DeploymentLifecycle::Ready
        })
        .await;
    assert_eq!(back.current_revision_id, serving.current_revision_id);
    assert!(back.generation > deploying.generation);
    assert_eq!(world.routes_of(&serving.current_revision_id).await, blue);
    assert!(active(&world.routes_of(&deploying.deploying_revision_id).await).is_empty());
}

fn one_at_a_time() -> DeploymentPolicy {
    let count = |count| {
        Some(IntOrPercent {
            value: Some(Value::Count(count)),
        })
    };
    DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec {
            max_surge: count(1),
            max_unavailable: count(0),
        })),
        drain_grace: seconds(0.0),
        ..DeploymentPolicy::default()
    }
}
