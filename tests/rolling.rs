//! Rolling updates: routes are replaced step by step, and the table is never
//! short of one that serves.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    DeploymentLifecycle, DeploymentPolicy, IntOrPercent, RollingUpdateSpec, RouteHealthStatus,
    RouteStatus, deployment_policy::Strategy, int_or_percent::Value,
};

use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, RouteBehavior, TestEnv, active, seconds, within},
};

#[apply(both_engines)]
#[tokio::test]
async fn routes_are_replaced_within_the_surge(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(3, one_at_a_time()).await;
    let mut tables = env.api.watch(REFERENCE).await;
    let deploying = env.deploy().await;
    let new = deploying.deploying_revision_id;
    within("the rollout", async {
        loop {
            let table = tables.next().await.expect("a table");
            assert!(table.endpoints.len() >= 3, "{table:?}");
            let live = env.routes().await.into_iter().filter(|route| {
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
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, new);
    assert_eq!(active(&env.routes_of(&new).await).len(), 3);
    assert!(active(&env.routes_of(&serving.current_revision_id).await).is_empty());
}

#[apply(both_engines)]
#[tokio::test]
async fn one_that_does_not_become_healthy_is_rolled_back(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = DeploymentPolicy {
        progress_deadline: seconds(1.0),
        ..one_at_a_time()
    };
    let serving = env.serving(3, policy).await;
    let blue = env.routes_of(&serving.current_revision_id).await;
    env.scheduler
        .plan(2, [RouteBehavior::Runs(RouteHealthStatus::Unhealthy)]);
    let deploying = env.deploy().await;
    let back = env
        .until("the roll-back", |it| {
            it.lifecycle() == DeploymentLifecycle::Ready
        })
        .await;
    assert_eq!(back.current_revision_id, serving.current_revision_id);
    assert!(back.generation > deploying.generation);
    assert_eq!(env.routes_of(&serving.current_revision_id).await, blue);
    assert!(active(&env.routes_of(&deploying.deploying_revision_id).await).is_empty());
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
