//! Going back by itself: green goes, blue never notices.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep,
    GateTimeout, GateTimeoutAction, RouteHealthStatus, RouteStatus, RouteTrafficStatus,
};

use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, RouteBehavior, TestEnv, blue_green, eventually, manual, seconds},
};

#[apply(both_engines)]
#[tokio::test]
async fn green_that_cannot_start_ends_in_ready_with_the_old_revision(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(3, manual()).await;
    let blue = env.routes().await;
    let table = env.api.table(REFERENCE).await;
    env.scheduler.plan(2, [RouteBehavior::FailsToStart]);
    let deploying = env.deploy().await;
    let after = back(&env, &serving).await;
    assert_eq!(after.generation, deploying.generation + 1);
    assert_eq!(env.routes_of(&serving.current_revision_id).await, blue);
    assert_eq!(env.api.table(REFERENCE).await, table, "proxies see nothing");

    let green = env.routes_of(&deploying.deploying_revision_id).await;
    assert_eq!(green.len(), 3, "none is replaced");
    for route in green {
        assert_eq!(route.status(), RouteStatus::FailedToStart);
        assert_eq!(route.traffic_status(), RouteTrafficStatus::Inactive);
        assert_eq!(route.failure, "no such image");
    }
    // It is no dead end.
    env.scheduler.plan(3, []);
    env.bring_up().await;
    env.promote().await;
}

#[apply(both_engines)]
#[tokio::test]
async fn a_part_that_fails_waits_for_the_deadline_and_then_drains_the_rest(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = DeploymentPolicy {
        progress_deadline: seconds(1.5),
        ..manual()
    };
    let serving = env.serving(3, policy).await;
    let blue = env.routes().await;
    let healthy = RouteBehavior::Runs(RouteHealthStatus::Healthy);
    env.scheduler
        .plan(2, [healthy, healthy, RouteBehavior::FailsToStart]);
    let deploying = env.deploy().await;
    let waiting = env
        .until("one that failed", |it| {
            let green = it.green.unwrap_or_default();
            (green.ready, green.failed) == (2, 1)
        })
        .await;
    assert_eq!(waiting.sub_step(), DeploymentSubStep::Provisioning);
    back(&env, &serving).await;
    assert_eq!(env.routes_of(&serving.current_revision_id).await, blue);
    eventually("the end of green", async || {
        let green = env.routes_of(&deploying.deploying_revision_id).await;
        assert_eq!(green.len(), 3);
        let over = |route: &viridian_proto::v1::Route| {
            assert_eq!(route.traffic_status(), RouteTrafficStatus::Inactive);
            matches!(
                route.status(),
                RouteStatus::Terminated | RouteStatus::FailedToStart
            )
        };
        green.iter().all(over).then_some(())
    })
    .await;
}

#[apply(both_engines)]
#[tokio::test]
async fn failed_green_is_replaced_within_its_budget(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        max_replacements: Some(2),
        ..BlueGreenSpec::default()
    });
    env.serving(2, policy).await;
    let healthy = RouteBehavior::Runs(RouteHealthStatus::Healthy);
    env.scheduler.plan(
        2,
        [
            RouteBehavior::FailsToStart,
            RouteBehavior::FailsToStart,
            healthy,
        ],
    );
    let gate = env.bring_up().await;
    assert_eq!(gate.green.expect("counts").ready, 2);
    let green = env.routes_of(&gate.deploying_revision_id).await;
    assert_eq!(green.len(), 4, "two of them are replacements");
    env.promote().await;
}

#[apply(both_engines)]
#[tokio::test]
async fn a_gate_that_times_out_rolls_back_if_told_to(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        gate_timeout: Some(GateTimeout {
            duration: seconds(1.0),
            action: GateTimeoutAction::Rollback.into(),
        }),
        ..BlueGreenSpec::default()
    });
    let serving = env.serving(2, policy).await;
    let gate = env.bring_up().await;
    assert!(gate.deadline_time.is_some(), "it says until when");
    back(&env, &serving).await;
    eventually("the end of green", async || {
        let green = env.routes_of(&gate.deploying_revision_id).await;
        let over = |it: &viridian_proto::v1::Route| it.status() == RouteStatus::Terminated;
        green.iter().all(over).then_some(())
    })
    .await;
}

#[apply(both_engines)]
#[tokio::test]
async fn a_gate_that_times_out_promotes_if_told_to(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        gate_timeout: Some(GateTimeout {
            duration: seconds(0.5),
            action: GateTimeoutAction::Promote.into(),
        }),
        ..BlueGreenSpec::default()
    });
    env.serving(2, policy).await;
    let gate = env.bring_up().await;
    let after = env.ready().await;
    assert_eq!(after.current_revision_id, gate.deploying_revision_id);
}

/// Waits until it is READY again with the revision that it had.
async fn back(env: &TestEnv, before: &Deployment) -> Deployment {
    let after = env
        .until("READY again", |it| {
            it.lifecycle() == DeploymentLifecycle::Ready
        })
        .await;
    assert_eq!(after.sub_step(), DeploymentSubStep::Unspecified);
    assert_eq!(after.deploying_revision_id, "");
    assert_eq!(after.current_revision_id, before.current_revision_id);
    assert_eq!(after.epoch, before.epoch, "the table never changed");
    after
}
