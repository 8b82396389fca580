//! The manual promotion: what it does, and what stands in its way.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::Code;
use viridian_proto::v1::{
    BlockerCode, BlueGreenSpec, DeploymentLifecycle, DeploymentSubStep, IntOrPercent,
    PromoteDeploymentRequest, RouteHealthStatus, RouteStatus, RouteTrafficStatus, int_or_percent,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, RouteBehavior, TestEnv, active, blue_green, eventually, ids, manual,
        promotion, refused, seconds,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn a_manual_promotion_leaves_ready_without_sub_step(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(3, manual()).await;
    assert_eq!(gate.lifecycle(), DeploymentLifecycle::Deploying);
    let codes: Vec<_> = gate.blockers.iter().map(|it| it.code()).collect();
    assert_eq!(codes, [BlockerCode::ManualGate]);
    let green = env.routes_of(&gate.deploying_revision_id).await;
    assert!(active(&green).is_empty(), "green is ready without traffic");

    let promoted = env.promote().await.deployment.expect("a deployment");
    for it in [promoted, env.ready().await] {
        assert_eq!(it.lifecycle(), DeploymentLifecycle::Ready);
        assert_eq!(it.sub_step(), DeploymentSubStep::Unspecified);
        assert_eq!(it.deploying_revision_id, "");
        assert_eq!(it.current_revision_id, gate.deploying_revision_id);
        assert_eq!(it.generation, gate.generation + 1);
        assert!(it.promote_time.is_some() && it.deadline_time.is_none());
    }

    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, gate.deploying_revision_id);
    assert!(table.epoch > gate.epoch);
    let served = table.endpoints.iter().map(|it| it.route_id.clone());
    assert_eq!(
        served.collect::<std::collections::BTreeSet<_>>(),
        ids(&green)
    );
    assert!(table.endpoints.iter().all(|it| it.ratio == 1.0));
    eventually("the end of blue", async || {
        let blue = env.routes_of(&gate.current_revision_id).await;
        let ended = |route: &viridian_proto::v1::Route| {
            route.status() == RouteStatus::Terminated
                && route.traffic_status() == RouteTrafficStatus::Inactive
        };
        (blue.len() == 3 && blue.iter().all(ended)).then_some(())
    })
    .await;
}

#[apply(both_engines)]
#[tokio::test]
async fn too_early_is_refused_with_each_reason_and_changes_nothing(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(4, manual()).await;
    let unhealthy = RouteBehavior::Runs(RouteHealthStatus::Unhealthy);
    let healthy = RouteBehavior::Runs(RouteHealthStatus::Healthy);
    let behaviors = [
        healthy,
        unhealthy,
        RouteBehavior::FailsToStart,
        RouteBehavior::Pending,
    ];
    env.scheduler.plan(2, behaviors);
    env.deploy().await;
    let before = env
        .until("one of each", |it| {
            let green = it.green.unwrap_or_default();
            (
                green.ready,
                green.unhealthy,
                green.failed,
                green.provisioning,
            ) == (1, 1, 1, 1)
                && it.blockers.len() == 4
        })
        .await;
    let routes = env.routes().await;

    let refusal = env.api.promote(promotion(REFERENCE)).await;
    let refusal = refusal.expect_err("green is not ready");
    let details = refused(&refusal, Code::FailedPrecondition, "PROMOTION_BLOCKED");
    let failure = details
        .precondition_failure()
        .expect("a PreconditionFailure");
    let types: Vec<_> = failure.violations.iter().map(|it| &it.r#type).collect();
    let expected = [
        "GREEN_PROVISIONING",
        "GREEN_UNHEALTHY",
        "GREEN_FAILED",
        "REPLACEMENTS_EXHAUSTED",
    ];
    assert_eq!(types, expected);
    for violation in &failure.violations {
        assert_eq!(violation.subject, REFERENCE);
        assert!(!violation.description.is_empty());
    }

    let preview = PromoteDeploymentRequest {
        validate_only: true,
        ..promotion(REFERENCE)
    };
    let preview = env.api.promote(preview).await.expect("only asked");
    let codes: Vec<_> = preview
        .blockers
        .iter()
        .map(|it| it.code().as_str_name().replace("BLOCKER_CODE_", ""))
        .collect();
    assert_eq!(codes, expected);
    assert!(preview.promoted_route_ids.is_empty() && preview.drained_route_ids.is_empty());

    assert_eq!(env.get().await, before);
    assert_eq!(env.routes().await, routes);
}

#[apply(both_engines)]
#[tokio::test]
async fn validate_only_changes_nothing_and_says_what_would(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let before = env.at_gate(2, manual()).await;
    let routes = env.routes().await;
    let request = PromoteDeploymentRequest {
        validate_only: true,
        expected_revision: "2".to_owned(),
        expected_generation: Some(before.generation),
        ..promotion(REFERENCE)
    };
    let mut preview = env.api.promote(request).await.expect("only asked");
    assert_eq!(preview.deployment.as_ref(), Some(&before));
    assert!(preview.blockers.is_empty(), "{:?}", preview.blockers);

    let after = env.get().await;
    assert_eq!(after.sequence, before.sequence);
    assert_eq!(after.generation, before.generation);
    assert_eq!((after, env.routes().await), (before, routes));

    let mut promoted = env.promote().await;
    for ids in [
        &mut preview.promoted_route_ids,
        &mut preview.drained_route_ids,
        &mut promoted.promoted_route_ids,
        &mut promoted.drained_route_ids,
    ] {
        ids.sort();
    }
    assert_eq!(preview.promoted_route_ids, promoted.promoted_route_ids);
    assert_eq!(preview.drained_route_ids, promoted.drained_route_ids);
    assert_eq!(promoted.promoted_route_ids.len(), 2);
    assert_eq!(promoted.drained_route_ids.len(), 2);
}

#[apply(both_engines)]
#[tokio::test]
async fn min_ready_holds_a_manual_promotion_up_too(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let spec = BlueGreenSpec {
        min_ready: seconds(3.0),
        ..BlueGreenSpec::default()
    };
    env.serving(2, blue_green(spec)).await;
    env.deploy().await;
    let waiting = env
        .until("min_ready to run", |it| {
            it.blockers
                .iter()
                .any(|it| it.code() == BlockerCode::MinReady)
        })
        .await;
    assert_eq!(waiting.sub_step(), DeploymentSubStep::Provisioning);
    assert!(waiting.blockers[0].until_time.is_some());
    let refusal = env.api.promote(promotion(REFERENCE)).await;
    let refusal = refusal.expect_err("not ready for long enough");
    let details = refused(&refusal, Code::FailedPrecondition, "PROMOTION_BLOCKED");
    let failure = details
        .precondition_failure()
        .expect("a PreconditionFailure");
    assert_eq!(failure.violations.len(), 1);
    assert_eq!(failure.violations[0].r#type, "MIN_READY");

    env.until("the gate", |it| {
        it.sub_step() == DeploymentSubStep::AwaitingPromotion
    })
    .await;
    env.promote().await;
}

#[apply(both_engines)]
#[tokio::test]
async fn it_skips_the_gate_and_the_delay(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let spec = BlueGreenSpec {
        auto_promote: true,
        promote_delay: seconds(600.0),
        ..BlueGreenSpec::default()
    };
    let gate = env.at_gate(2, blue_green(spec)).await;
    let codes: Vec<_> = gate.blockers.iter().map(|it| it.code()).collect();
    assert_eq!(codes, [BlockerCode::PromoteDelay]);
    let promoted = env.promote().await.deployment.expect("a deployment");
    assert_eq!(promoted.current_revision_id, gate.deploying_revision_id);
}

#[apply(both_engines)]
#[tokio::test]
async fn with_nothing_to_promote_it_is_refused(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let before = env.serving(1, manual()).await;
    for validate_only in [false, true] {
        let request = PromoteDeploymentRequest {
            validate_only,
            ..promotion(REFERENCE)
        };
        let refusal = env.api.promote(request).await;
        let refusal = refusal.expect_err("nothing is being deployed");
        let details = refused(&refusal, Code::FailedPrecondition, "NOT_DEPLOYING");
        assert!(details.precondition_failure().is_some());
    }
    assert_eq!(env.get().await, before);
}

/// One of three stays unhealthy, which the policy allows.
#[apply(both_engines)]
#[tokio::test]
async fn at_the_threshold_it_promotes_itself_and_the_rest_joins(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        auto_promote: true,
        ready_threshold: Some(IntOrPercent {
            value: Some(int_or_percent::Value::Count(2)),
        }),
        ..BlueGreenSpec::default()
    });
    env.serving(3, policy).await;
    let healthy = RouteBehavior::Runs(RouteHealthStatus::Healthy);
    let slow = RouteBehavior::Runs(RouteHealthStatus::Unhealthy);
    env.scheduler.plan(2, [slow, healthy, healthy]);
    env.deploy().await;
    let promoted = env
        .until("the promotion", |it| {
            let unhealthy = it.blue.is_some_and(|blue| blue.unhealthy == 1);
            it.lifecycle() == DeploymentLifecycle::Ready
                && it.current_revision_number == 2
                && unhealthy
        })
        .await;
    let routes = env.routes_of(&promoted.current_revision_id).await;
    let sick: Vec<_> = routes
        .iter()
        .filter(|it| it.health() == RouteHealthStatus::Unhealthy)
        .cloned()
        .collect();
    assert_eq!((routes.len(), sick.len()), (3, 1));
    env.api.see(&sick, RouteHealthStatus::Healthy).await;
    env.until("all of them", |it| {
        it.blue.is_some_and(|blue| blue.ready == 3) && it.blockers.is_empty()
    })
    .await;
}
