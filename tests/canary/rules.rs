//! What a policy and an advance must be, and what is refused.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Code, Status};
use uuid::Uuid;
use viridian_proto::v1::{
    AdvanceDeploymentRequest, CanarySpec, CanaryStep, DeploymentPolicy, DeploymentSubStep,
    IntOrPercent, UpdateDeploymentRequest, deployment_policy::Strategy, int_or_percent::Value,
};

use super::{advance, canary, with_steps};
use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, TestEnv, creation, field_paths, manual, pause, prevented, promotion,
        refused, seconds, update,
    },
};

/// Without settings: 5 % for ten minutes, and then someone.
#[apply(both_engines)]
#[tokio::test]
async fn a_canary_without_settings_does_the_safe_thing(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = DeploymentPolicy {
        strategy: Some(Strategy::Canary(CanarySpec::default())),
        ..DeploymentPolicy::default()
    };
    let created = env.api.create(creation(1, policy)).await;
    let created = created.expect("it can be created");
    let Some(Strategy::Canary(spec)) = created.policy.expect("a policy").strategy else {
        panic!("a canary");
    };
    let [step] = &spec.steps[..] else {
        panic!("one step: {spec:?}");
    };
    assert_eq!((step.weight_permille, step.manual), (50, false));
    assert_eq!(step.hold, seconds(600.0));
    assert_eq!(
        (spec.auto_promote, spec.scale_down_delay),
        (false, seconds(30.0))
    );
}

#[apply(both_engines)]
#[tokio::test]
async fn what_is_no_canary_is_refused_with_its_path(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let step = |weight_permille| CanaryStep {
        weight_permille,
        ..CanaryStep::default()
    };
    let steps = |weights: &[i32]| weights.iter().copied().map(step).collect::<Vec<_>>();
    let on = |replicas| CanaryStep {
        replicas: Some(IntOrPercent {
            value: Some(replicas),
        }),
        ..step(50)
    };
    for (steps, path) in [
        (steps(&[50, 50]), "steps[1].weight_permille"),
        (steps(&[100, 50, 200]), "steps[1].weight_permille"),
        (steps(&[50, 0]), "steps[1].weight_permille"),
        (steps(&[1_000]), "steps[0].weight_permille"),
        (steps(&[-1]), "steps[0].weight_permille"),
        (steps(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]), "steps"),
        (vec![on(Value::Count(0))], "steps[0].replicas"),
        (vec![on(Value::Percent(101))], "steps[0].replicas"),
        (
            vec![CanaryStep {
                hold: Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                ..step(50)
            }],
            "steps[0].hold",
        ),
    ] {
        let refusal = env.api.create(creation(1, with_steps(steps.clone()))).await;
        let refusal = refusal.expect_err(path);
        let found = field_paths(&refusal);
        assert_eq!(found.len(), 1, "{steps:?}: {refusal:?}");
        assert!(
            found[0].starts_with(&format!("policy.canary.{path}")),
            "{steps:?}: {found:?}"
        );
    }
    let none = env.api.find(REFERENCE).await.expect_err("nothing was made");
    refused(&none, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
}

#[apply(both_engines)]
#[tokio::test]
async fn the_strategy_of_a_rollout_stays(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, canary(&[500])).await;
    env.deploy().await;
    env.at_step(1).await;
    let change = |policy| UpdateDeploymentRequest {
        policy: Some(policy),
        ..update(REFERENCE)
    };
    let other = env
        .api
        .deployments()
        .update_deployment(change(manual()))
        .await;
    prevented(&other.expect_err("it is in use"), "STRATEGY_IN_USE");
    let more = change(canary(&[500, 900]));
    let more = env.api.deployments().update_deployment(more).await;
    more.expect("its steps may change");
    env.advance().await;
    assert_eq!(
        env.at_step(2).await.split.expect("a share").weight_permille,
        900
    );
}

impl TestEnv {
    async fn not_advanced(&self, request: AdvanceDeploymentRequest) -> Status {
        let reply = self.api.deployments().advance_deployment(request).await;
        reply.expect_err("it is refused")
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn an_advance_that_means_another_step_is_refused(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, canary(&[100, 500])).await;
    prevented(&env.not_advanced(advance()).await, "NOT_DEPLOYING");
    env.deploy().await;
    let held = env.at_step(1).await;
    let at = |step| AdvanceDeploymentRequest {
        expected_step: Some(step),
        ..advance()
    };
    let details = refused(
        &env.not_advanced(at(2)).await,
        Code::Aborted,
        "STEP_MISMATCH",
    );
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(
        (&*info.metadata["step"], &*info.metadata["expected_step"]),
        ("1", "2")
    );
    let beyond = env.not_advanced(at(11)).await;
    assert_eq!(field_paths(&beyond), ["expected_step"]);
    let of_old = AdvanceDeploymentRequest {
        expected_revision: held.current_revision_id.clone(),
        ..advance()
    };
    refused(
        &env.not_advanced(of_old).await,
        Code::Aborted,
        "REVISION_MISMATCH",
    );
    let of_before = AdvanceDeploymentRequest {
        expected_generation: Some(held.generation - 1),
        ..advance()
    };
    refused(
        &env.not_advanced(of_before).await,
        Code::Aborted,
        "GENERATION_MISMATCH",
    );

    let paused = env
        .api
        .deployments()
        .pause_deployment(pause(REFERENCE))
        .await;
    paused.expect("it can be paused");
    prevented(&env.not_advanced(advance()).await, "PAUSED");
    assert_eq!(env.get().await.step, 1, "none of them moved it");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_repeated_advance_goes_one_step(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, canary(&[100, 500, 900])).await;
    env.deploy().await;
    env.at_step(1).await;
    let request = AdvanceDeploymentRequest {
        request_id: Uuid::now_v7().to_string(),
        ..advance()
    };
    let mut client = env.api.deployments();
    let first = client.advance_deployment(request.clone()).await;
    let first = first.expect("it is advanced").into_inner();
    env.at_step(2).await;
    let again = client.advance_deployment(request).await;
    assert_eq!(again.expect("the same call").into_inner(), first);
    let to_last = AdvanceDeploymentRequest {
        to_last: true,
        ..advance()
    };
    let left = client.advance_deployment(to_last).await;
    left.expect("it goes to the last step");
    let last = env.at_step(3).await;
    assert_eq!(last.split.expect("a share").weight_permille, 900);
    env.advance().await;
    let gate = env.until("the gate", |it| {
        it.sub_step() == DeploymentSubStep::AwaitingPromotion
    });
    gate.await;
    prevented(&env.not_advanced(advance()).await, "STEP_NOT_HELD");
}

#[apply(both_engines)]
#[tokio::test]
async fn only_a_canary_is_advanced_and_a_step_is_promoted_only_with_all_routes(
    #[case] engine: Engine,
) {
    let env = TestEnv::start(engine).await;
    env.at_gate(1, manual()).await;
    prevented(&env.not_advanced(advance()).await, "NOT_CANARY");
    drop(env);

    let env = TestEnv::start(engine).await;
    env.serving(4, canary(&[250])).await;
    env.deploy().await;
    env.at_step(1).await;
    let early = env.api.promote(promotion(REFERENCE)).await;
    let early = early.expect_err("three are missing");
    refused(&early, Code::FailedPrecondition, "PROMOTION_BLOCKED");
    assert_eq!(env.get().await.step, 1);
}
