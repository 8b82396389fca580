//! Canaries: steps with a share of the traffic, seen from outside.

mod requests;
mod rules;

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    AdvanceDeploymentRequest, BlockerCode, CanarySpec, CanaryStep, Deployment, DeploymentLifecycle,
    DeploymentPolicy, DeploymentSubStep, ListHistoryRequest, RouteHealthStatus, TrafficTable,
    deployment_policy::Strategy,
};

use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, TestEnv, abort, active, by_revision, eventually, ids, seconds},
};

/// Steps in per mille that wait until they are advanced. What is drained ends at once.
fn canary(weights: &[i32]) -> DeploymentPolicy {
    let step = |&weight_permille| CanaryStep {
        weight_permille,
        manual: true,
        ..CanaryStep::default()
    };
    with_steps(weights.iter().map(step).collect())
}

fn with_steps(steps: Vec<CanaryStep>) -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::Canary(CanarySpec {
            steps,
            max_replacements: Some(0),
            scale_down_delay: seconds(0.0),
            ..CanarySpec::default()
        })),
        drain_grace: seconds(0.0),
        ..DeploymentPolicy::default()
    }
}

fn advance() -> AdvanceDeploymentRequest {
    AdvanceDeploymentRequest {
        deployment: REFERENCE.to_owned(),
        ..AdvanceDeploymentRequest::default()
    }
}

impl TestEnv {
    async fn advance(&self) -> Deployment {
        let reply = self.api.deployments().advance_deployment(advance()).await;
        let reply = reply.expect("it can be advanced").into_inner();
        reply.deployment.expect("a deployment")
    }

    /// Waits until a step of a canary is held.
    async fn at_step(&self, step: i32) -> Deployment {
        self.until("the step", |it| {
            it.step == step && it.sub_step() == DeploymentSubStep::Shifting
        })
        .await
    }
}

/// Both weights of a table: of the current and of the deploying revision.
fn weights(table: &TrafficTable) -> Vec<(i32, i32)> {
    let weights = table.weights.iter();
    let weights = weights.map(|it| (it.asked_permille, it.weight_permille));
    weights.collect()
}

#[apply(both_engines)]
#[tokio::test]
async fn a_canary_goes_by_its_steps_to_the_promotion(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(4, canary(&[50, 500])).await;
    let before = env.api.table(REFERENCE).await;
    let deploying = env.deploy().await;
    assert_eq!(deploying.rollout, serving.rollout + 1);
    assert_eq!((deploying.step, deploying.split), (0, None));

    let first = env.at_step(1).await;
    let green = env.routes_of(&first.deploying_revision_id).await;
    assert_eq!((green.len(), active(&green).len()), (1, 1));
    let split = first.split.clone().expect("a share");
    assert_eq!(split.revision_id, first.deploying_revision_id);
    assert_eq!((split.weight_permille, split.effective_permille), (50, 50));
    assert_eq!(first.blockers[0].code(), BlockerCode::ManualStep);
    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, first.current_revision_id);
    assert_eq!(weights(&table), [(950, 950), (50, 50)]);
    let of_green =
        |it: &&viridian_proto::v1::TrafficEndpoint| it.revision_id == first.deploying_revision_id;
    let of_blue = table.endpoints.iter().filter(|it| !of_green(it));
    let blue: Vec<_> = of_blue.map(|it| (it.weight_permille, it.ratio)).collect();
    assert_eq!(blue.iter().map(|(weight, _)| weight).sum::<i32>(), 950);
    assert!(blue.iter().all(|(_, ratio)| *ratio == 1.0), "{blue:?}");
    let green = table.endpoints.iter().find(of_green).expect("an endpoint");
    assert_eq!(green.weight_permille, 50);
    assert!((green.ratio - 50.0 / (950.0 / 4.0)).abs() < 1e-9);

    env.advance().await;
    let second = env.at_step(2).await;
    let green = env.routes_of(&second.deploying_revision_id).await;
    assert_eq!((green.len(), active(&green).len()), (2, 2));
    let table = env.api.table(REFERENCE).await;
    assert_eq!(weights(&table), [(500, 500), (500, 500)]);

    env.advance().await;
    let gate = env
        .until("the gate", |it| {
            it.sub_step() == DeploymentSubStep::AwaitingPromotion
        })
        .await;
    assert_eq!((gate.step, gate.green.expect("counts").ready), (2, 4));
    assert_eq!(weights(&env.api.table(REFERENCE).await), [(500, 500); 2]);
    let seed = env.api.table(REFERENCE).await.split_seed;
    assert_eq!(seed, table.split_seed, "constant in a rollout");
    assert_ne!(seed, before.split_seed, "and another one in the next");

    env.promote().await;
    let ready = env.ready().await;
    assert_eq!((ready.step, ready.split), (0, None));
    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, gate.deploying_revision_id);
    assert_eq!((table.endpoints.len(), weights(&table)), (4, vec![]));
    assert_eq!(shifts(&env).await, [500, 50]);
}

/// The shares that were taken, the last one first.
async fn shifts(env: &TestEnv) -> Vec<i32> {
    let request = ListHistoryRequest {
        deployment: REFERENCE.to_owned(),
        ..ListHistoryRequest::default()
    };
    let reply = env.api.deployments().list_history(request).await;
    let entries = reply.expect("history").into_inner().entries;
    let shifts = entries.iter().filter(|it| it.phase == "SHIFT");
    shifts.map(|it| it.weight_permille).collect()
}

#[apply(both_engines)]
#[tokio::test]
async fn an_abort_takes_all_traffic_back_in_one_move(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(4, canary(&[500])).await;
    let blue = env.api.table(REFERENCE).await;
    env.deploy().await;
    let half = env.at_step(1).await;
    let mut tables = env.api.watch(REFERENCE).await;
    let present = tables.next().await.expect("the present table");
    assert_eq!(weights(&present), [(500, 500); 2]);

    let aborted = env
        .api
        .deployments()
        .abort_deployment(abort(REFERENCE))
        .await;
    let aborted = aborted.expect("it is aborted").into_inner().deployment;
    let aborted = aborted.expect("a deployment");
    assert_eq!(aborted.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!((aborted.step, aborted.split), (0, None));
    let after = tables.next().await.expect("the next table");
    assert_eq!(after.epoch, present.epoch + 1);
    assert_eq!(weights(&after), []);
    assert_eq!(after.endpoints, blue.endpoints);
    let green = env.routes_of(&half.deploying_revision_id).await;
    assert_eq!(active(&green), []);
}

/// The share of a canary is never more than its ready routes are of those that it was scaled
/// for, from the same change on.
#[apply(both_engines)]
#[tokio::test]
async fn a_canary_that_fails_gets_less_at_once(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(10, canary(&[400])).await;
    env.deploy().await;
    let step = env.at_step(1).await;
    let green = env.routes_of(&step.deploying_revision_id).await;
    assert_eq!(green.len(), 4);
    let mut tables = env.api.watch(REFERENCE).await;
    let mut epoch = tables.next().await.expect("the present table").epoch;
    for (routes, health, effective) in [
        (&green[..1], RouteHealthStatus::Unhealthy, 300),
        (&green[1..], RouteHealthStatus::Unhealthy, 0),
        (&green[..], RouteHealthStatus::Healthy, 400),
    ] {
        env.api.see(routes, health).await;
        let table = eventually("the share", async || {
            let table = tables.next().await.expect("a table");
            assert_eq!(table.epoch, epoch + 1, "each is seen");
            epoch = table.epoch;
            let [_, (asked, weight)] = weights(&table)[..] else {
                panic!("two weights: {table:?}");
            };
            assert_eq!(asked, 400);
            (weight == effective).then_some(table)
        })
        .await;
        let of_green = |it: &&viridian_proto::v1::TrafficEndpoint| {
            it.revision_id == step.deploying_revision_id
        };
        let parts = table.endpoints.iter().filter(of_green);
        assert_eq!(parts.map(|it| it.weight_permille).sum::<i32>(), effective);
        let split = env.get().await.split.expect("a share is asked for");
        assert_eq!(
            (split.weight_permille, split.effective_permille),
            (400, effective)
        );
    }
}

/// A checker that fails for a moment puts nothing on a canary.
#[apply(both_engines)]
#[tokio::test]
async fn while_no_old_route_is_ready_they_keep_their_weight(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, canary(&[100])).await;
    env.deploy().await;
    let step = env.at_step(1).await;
    let blue = env.routes_of(&step.current_revision_id).await;
    env.api.see(&blue, RouteHealthStatus::Unhealthy).await;
    let table = env.api.table(REFERENCE).await;
    assert_eq!(weights(&table), [(900, 900), (100, 100)]);
    assert_eq!(table.endpoints.len(), 3);
    let green = by_revision(&env.routes().await, &step.deploying_revision_id);
    env.api.see(&green, RouteHealthStatus::Unhealthy).await;
    let table = env.api.table(REFERENCE).await;
    assert_eq!(
        (table.endpoints.len(), weights(&table)),
        (3, vec![]),
        "fail open"
    );
}

/// A first step of 0 ‰: the new version is there for whoever asks for it by itself.
#[apply(both_engines)]
#[tokio::test]
async fn a_dark_start_is_seen_as_a_preview(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, canary(&[0, 500])).await;
    env.deploy().await;
    let dark = env.at_step(1).await;
    assert_eq!(dark.split, None);
    let table = env.api.table(REFERENCE).await;
    let green = env.routes_of(&dark.deploying_revision_id).await;
    assert_eq!(active(&green), []);
    assert_eq!((table.endpoints.len(), weights(&table)), (2, vec![]));
    assert_eq!(table.preview_revision_id, dark.deploying_revision_id);
    let preview = table.preview.iter().map(|it| it.route_id.clone());
    assert_eq!(
        preview.collect::<std::collections::BTreeSet<_>>(),
        ids(&green)
    );
    assert_eq!(table.preview[0].address, green[0].address);

    env.advance().await;
    let half = env.at_step(2).await;
    assert_eq!(half.split.expect("a share").effective_permille, 500);
    let table = env.api.table(REFERENCE).await;
    assert_eq!(
        (table.preview.len(), table.preview_revision_id.as_str()),
        (0, "")
    );
    assert_eq!(shifts(&env).await, [500, 0]);
}
