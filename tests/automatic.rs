//! Promotion by itself: it happens when it may, and never when it may not.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    BlockerCode, BlueGreenSpec, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep,
    RouteHealthStatus, RouteStatus,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, RouteBehavior, TestEnv, active, blue_green, eventually, hold_for, ids,
        seconds,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn an_automatic_promotion_reaches_the_proxies(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(3, automatic(0.0)).await;
    let mut tables = env.api.watch(REFERENCE).await;
    let blue = tables.next().await.expect("the present table");
    assert_eq!(blue.revision_id, serving.current_revision_id);

    let deploying = env.deploy().await;
    let green = tables.next().await.expect("the new table");
    assert!(green.epoch > blue.epoch, "{green:?}");
    assert_eq!(green.deployment_id, serving.id);
    assert_eq!(green.revision_id, deploying.deploying_revision_id);
    assert_eq!(green.endpoints.len(), 3);
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, deploying.deploying_revision_id);
    assert_eq!(ready.generation, deploying.generation + 1);
    assert_eq!(ready.epoch, green.epoch);
    assert_eq!(env.api.table(REFERENCE).await, green);
    let routes = env.routes().await;
    assert_eq!(active(&routes).len(), 3);
}

#[apply(both_engines)]
#[tokio::test]
async fn unhealthy_green_is_not_promoted_though_the_delay_is_over(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(4, automatic(DELAY)).await;
    assert_eq!(gate.blockers[0].code(), BlockerCode::PromoteDelay);
    assert!(gate.blockers[0].until_time.is_some());
    let blue = env.routes_of(&gate.current_revision_id).await;
    let green = env.routes_of(&gate.deploying_revision_id).await;
    env.api.see(&green, RouteHealthStatus::Unhealthy).await;

    // From before the end of the delay until long after it.
    hold_for(Duration::from_secs_f64(DELAY * 2.0), async || {
        let now = env.get().await;
        assert_eq!(now.lifecycle(), DeploymentLifecycle::Deploying);
        assert_eq!(now.current_revision_id, gate.current_revision_id);
        assert_eq!(env.routes_of(&gate.current_revision_id).await, blue);
    })
    .await;
    let now = env.get().await;
    assert_eq!(now.sub_step(), DeploymentSubStep::Provisioning);
    assert_eq!(now.green.expect("counts").unhealthy, 4);
    let codes: Vec<_> = now.blockers.iter().map(|it| it.code()).collect();
    assert_eq!(codes, [BlockerCode::GreenUnhealthy]);
    assert!(active(&env.routes_of(&gate.deploying_revision_id).await).is_empty());

    // Nothing is lost: healthy again, it goes on after a whole new delay.
    env.api.see(&green, RouteHealthStatus::Healthy).await;
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, gate.deploying_revision_id);
    let routes = env.routes().await;
    assert_eq!(ids(&active(&routes)), ids(&green));
}

#[apply(both_engines)]
#[tokio::test]
async fn green_that_was_never_healthy_is_not_promoted(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(4, automatic(0.0)).await;
    let blue = env.routes().await;
    let unhealthy = RouteBehavior::Runs(RouteHealthStatus::Unhealthy);
    env.scheduler.plan(2, [unhealthy]);
    env.deploy().await;
    env.until("four unhealthy green", |it| {
        it.green.unwrap_or_default().unhealthy == 4
    })
    .await;
    hold_for(Duration::from_secs(1), async || {
        let now = env.get().await;
        assert_eq!(now.sub_step(), DeploymentSubStep::Provisioning);
        assert_eq!(env.routes_of(&serving.current_revision_id).await, blue);
    })
    .await;
}

#[rstest]
#[case::sqlite_not_checked(Engine::Sqlite, RouteHealthStatus::NotChecked)]
#[case::sqlite_degraded(Engine::Sqlite, RouteHealthStatus::Degraded)]
#[case::postgres_not_checked(Engine::Postgres, RouteHealthStatus::NotChecked)]
#[case::postgres_degraded(Engine::Postgres, RouteHealthStatus::Degraded)]
#[tokio::test]
async fn green_that_is_neither_healthy_nor_dead_makes_no_duplicates_and_ends(
    #[case] engine: Engine,
    #[case] health: RouteHealthStatus,
) {
    let env = TestEnv::start(engine).await;
    let policy = DeploymentPolicy {
        progress_deadline: seconds(1.5),
        ..automatic(0.0)
    };
    let serving = env.serving(3, policy).await;
    let blue = env.routes().await;
    env.scheduler.plan(2, [RouteBehavior::Runs(health)]);
    let deploying = env.deploy().await;
    let green_id = deploying.deploying_revision_id.as_str();
    let waiting = env
        .until("green that runs", |it| {
            let codes: Vec<_> = it.blockers.iter().map(|it| it.code()).collect();
            it.green.unwrap_or_default().unhealthy == 3 && codes == [BlockerCode::GreenUnhealthy]
        })
        .await;
    assert!(waiting.deadline_time.is_some(), "it does not wait for ever");

    eventually("the progress deadline", async || {
        assert!(env.routes_of(green_id).await.len() <= 3, "no duplicates");
        let ready = env.get().await.lifecycle() == DeploymentLifecycle::Ready;
        ready.then_some(())
    })
    .await;
    let after = env.get().await;
    assert_eq!(after.sub_step(), DeploymentSubStep::Unspecified);
    assert_eq!(after.deploying_revision_id, "");
    assert_eq!(after.current_revision_id, serving.current_revision_id);
    assert_eq!(env.routes_of(&serving.current_revision_id).await, blue);
    eventually("the end of green", async || {
        let green = env.routes_of(green_id).await;
        assert_eq!(green.len(), 3);
        let over = |it: &viridian_proto::v1::Route| it.status() == RouteStatus::Terminated;
        green.iter().all(over).then_some(())
    })
    .await;
}

#[apply(both_engines)]
#[tokio::test]
async fn the_delay_counts_from_the_latest_change_of_health(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, automatic(DELAY)).await;
    let green = env.routes_of(&gate.deploying_revision_id).await;
    let first_end = gate.blockers[0].until_time.expect("a time");
    env.api.see(&green[..1], RouteHealthStatus::Degraded).await;
    env.until("PROVISIONING", |it| {
        it.sub_step() == DeploymentSubStep::Provisioning
    })
    .await;
    env.api.see(&green[..1], RouteHealthStatus::Healthy).await;
    let again = env
        .until("the gate", |it| {
            it.sub_step() == DeploymentSubStep::AwaitingPromotion
        })
        .await;
    let second_end = again.blockers[0].until_time.expect("a time");
    let order = |it: prost_types::Timestamp| (it.seconds, it.nanos);
    assert!(order(second_end) > order(first_end));
    let ready = env.ready().await;
    let promoted = ready.promote_time.expect("a time");
    assert!(order(promoted) >= order(second_end), "not before its time");
}

fn automatic(delay: f64) -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        auto_promote: true,
        promote_delay: seconds(delay),
        ..BlueGreenSpec::default()
    })
}

/// In seconds: long enough to report something before it is over.
const DELAY: f64 = 2.0;
