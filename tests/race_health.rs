//! A report that green is not healthy any more, at the same moment as its
//! promotion: one of the two comes first, and both know which.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::Code;
use viridian_proto::v1::{
    BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep, Route,
    RouteHealthStatus,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, TestEnv, active, blue_green, eventually, ids, manual, promotion,
        refused, seconds,
    },
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_races_a_manual_promotion(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(4, manual()).await;
    let mut gate = env.bring_up().await;
    for _ in 0..ROUNDS {
        let green = env.routes_of(&gate.deploying_revision_id).await;
        let blue = active(&env.routes().await);
        let (reply, ()) = tokio::join!(
            env.api.promote(promotion(REFERENCE)),
            env.api.see(&green[..1], RouteHealthStatus::Unhealthy),
        );
        match reply {
            Ok(reply) => {
                let after = reply.deployment.expect("a deployment");
                promoted_before_the_report(&env, &after, &green).await;
                // For the rules of the next round blue has to be whole again.
                env.api.see(&green[..1], RouteHealthStatus::Healthy).await;
                gate = env.bring_up().await;
            }
            Err(refusal) => {
                let details = refused(&refusal, Code::FailedPrecondition, "PROMOTION_BLOCKED");
                let failure = details
                    .precondition_failure()
                    .expect("a PreconditionFailure");
                assert_eq!(failure.violations[0].r#type, "GREEN_UNHEALTHY");
                let still = active(&env.routes().await);
                assert_eq!(still, blue, "a refused promotion touches no route");
                env.api.see(&green[..1], RouteHealthStatus::Healthy).await;
                env.until("the gate", at_gate).await;
            }
        }
    }
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_races_an_automatic_promotion(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy: DeploymentPolicy = blue_green(BlueGreenSpec {
        auto_promote: true,
        promote_delay: seconds(DELAY),
        ..BlueGreenSpec::default()
    });
    env.serving(4, policy).await;
    for _ in 0..ROUNDS {
        let gate = env.bring_up().await;
        let green = env.routes_of(&gate.deploying_revision_id).await;
        let blue = active(&env.routes().await);
        let end = gate.blockers[0].until_time.expect("a time");
        // As close to the end of the delay as can be.
        eventually("the end of the delay", async || {
            let now = prost_types::Timestamp::from(std::time::SystemTime::now());
            (order(now) >= order(end)).then_some(())
        })
        .await;
        env.api.see(&green[..1], RouteHealthStatus::Unhealthy).await;
        let after = env.get().await;
        if after.current_revision_id == gate.deploying_revision_id {
            promoted_before_the_report(&env, &after, &green).await;
        } else {
            let still = active(&env.routes().await);
            assert_eq!(still, blue, "nothing is drained");
        }
        env.api.see(&green[..1], RouteHealthStatus::Healthy).await;
        let ready = env.ready().await;
        assert_eq!(ready.current_revision_id, gate.deploying_revision_id);
    }
}

/// Asserts that all of green was healthy when it got the traffic.
async fn promoted_before_the_report(env: &TestEnv, after: &Deployment, green: &[Route]) {
    assert_eq!(after.lifecycle(), DeploymentLifecycle::Ready);
    let serving = active(&env.routes().await);
    assert_eq!(ids(&serving), ids(green));
    let promoted = after.promote_time.expect("a time");
    for route in serving {
        let seen = route.health_update_time.expect("a time");
        let unhealthy = route.health() == RouteHealthStatus::Unhealthy;
        assert!(
            !unhealthy || order(seen) >= order(promoted),
            "promoted at {promoted}, though it was seen before: {route:?}"
        );
    }
}

fn at_gate(deployment: &Deployment) -> bool {
    deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
}

fn order(time: prost_types::Timestamp) -> (i64, i32) {
    (time.seconds, time.nanos)
}

const ROUNDS: usize = 8;
const DELAY: f64 = 0.4;
