//! The ends of a wait.

use std::time::Duration;

use tonic::Code;
use viridian_client::{
    CallError, DeploymentWatcher, MissReason, NeededAction, ReconnectPolicy, WaitError, WaitGoal,
    WaitOutcome, unary, wait_until,
};
use viridian_proto::v1::{
    AbortDeploymentRequest, ActivateRevisionRequest, BlueGreenSpec, DeleteDeploymentRequest,
    Deployment, DeploymentPolicy, PauseDeploymentRequest, deployment_policy::Strategy,
};

use crate::{
    instant_scheduler::InstantScheduler,
    test_server::{Operator, TestServer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_without_a_gate_reaches_its_goal() {
    let env = WaitEnv::start().await;
    let mut operator = env.operator.clone();
    operator.create("cart", 2, policy(true)).await;
    env.wait(&WaitGoal::Settled).await.expect("version 1");
    let activated = operator.activate("shop/cart", "v2").await;
    let goal = WaitGoal::of_activation(&activated);
    let outcome = env.wait(&goal).await.expect("version 2");
    let WaitOutcome::Reached(deployment) = outcome else {
        panic!("not reached: {outcome:?}");
    };
    assert_eq!(goal, WaitGoal::Serves(deployment.current_revision_id));
    assert_eq!(deployment.blue.expect("counts").ready, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_with_a_gate_ends_there() {
    let env = WaitEnv::start().await;
    let goal = env.begin_gated_rollout().await;
    let outcome = env.wait(&goal).await.expect("the gate");
    let WaitOutcome::ActionNeeded(action, _) = outcome else {
        panic!("not at the gate: {outcome:?}");
    };
    assert_eq!(action, NeededAction::Promote);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_rollout_is_missed() {
    let env = WaitEnv::start().await;
    let goal = env.begin_gated_rollout().await;
    let request = AbortDeploymentRequest {
        deployment: "shop/cart".to_owned(),
        ..AbortDeploymentRequest::default()
    };
    let mut client = env.operator.client.clone();
    unary(client.abort_deployment(request))
        .await
        .expect("it is aborted");
    env.expect_missed(&goal, MissReason::RolledBack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superseded_rollout_is_missed() {
    let env = WaitEnv::start().await;
    let goal = env.begin_gated_rollout().await;
    let mut client = env.operator.client.clone();
    let request = viridian_proto::v1::CreateRevisionRequest {
        deployment: "shop/cart".to_owned(),
        spec: Some(viridian_proto::v1::RevisionSpec {
            image: "v3".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let created = unary(client.create_revision(request)).await;
    let request = ActivateRevisionRequest {
        deployment: "shop/cart".to_owned(),
        revision: created.expect("it is created").revision.expect("one").id,
        supersede: true,
        ..ActivateRevisionRequest::default()
    };
    unary(client.activate_revision(request))
        .await
        .expect("it is activated");
    env.expect_missed(&goal, MissReason::Superseded).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_deployment_is_missed_or_the_goal() {
    let env = WaitEnv::start().await;
    let goal = env.begin_gated_rollout().await;
    // The name is free at once, so the wait goes by the id.
    let deployment = env.deployment().await;
    let mut watch = env.watch(&deployment.id);
    let request = DeleteDeploymentRequest {
        deployment: deployment.id,
        ..DeleteDeploymentRequest::default()
    };
    let mut client = env.operator.client.clone();
    unary(client.delete_deployment(request))
        .await
        .expect("it is deleted");
    let missed = wait_until(&mut watch, &goal, None, |_| {}).await;
    let Err(WaitError::Missed { reason, .. }) = missed else {
        panic!("not missed: {missed:?}");
    };
    assert_eq!(reason, MissReason::Destroyed);
    let end = wait_until(&mut watch, &WaitGoal::Destroyed, None, |_| {}).await;
    assert!(matches!(end, Ok(WaitOutcome::Reached(_))), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_its_time() {
    let env = WaitEnv::start().await;
    let goal = env.begin_gated_rollout().await;
    let request = PauseDeploymentRequest {
        deployment: "shop/cart".to_owned(),
        ..PauseDeploymentRequest::default()
    };
    let mut client = env.operator.client.clone();
    unary(client.pause_deployment(request))
        .await
        .expect("it is paused");
    let limit = Duration::from_millis(50);
    let mut watch = env.watch("shop/cart");
    // With a pause and no promotion it can never serve: only the time ends this.
    let ended = wait_until(&mut watch, &WaitGoal::Destroyed, Some(limit), |_| {}).await;
    assert!(
        matches!(ended, Err(WaitError::TimedOut { limit: it }) if it == limit),
        "{ended:?} for {goal:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_does_not_exist_is_a_refusal() {
    let env = WaitEnv::start().await;
    let error = env.wait(&WaitGoal::Settled).await.expect_err("no such");
    assert!(
        matches!(&error, WaitError::Watch(CallError::Refused(it)) if it.code() == Code::NotFound),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stays_away_ends_the_wait() {
    let mut env = WaitEnv::start().await;
    let goal = env.begin_gated_rollout().await;
    let policy = ReconnectPolicy {
        max_outage: Some(Duration::ZERO),
        ..ReconnectPolicy::TRANSIENT
    };
    let target = env.server.target();
    env.server.stop().await;
    let mut watch = DeploymentWatcher::of(target, "shop/cart", policy);
    let error = wait_until(&mut watch, &goal, None, |_| {})
        .await
        .expect_err("it is away");
    assert!(
        matches!(error, WaitError::Watch(CallError::Connect(_))),
        "{error:?}"
    );
}

struct WaitEnv {
    server: TestServer,
    operator: Operator,
    _scheduler: InstantScheduler,
}

impl WaitEnv {
    async fn start() -> Self {
        let server = TestServer::start().await;
        Self {
            operator: Operator::connect(&server.target()).await,
            _scheduler: InstantScheduler::start(&server.target()),
            server,
        }
    }

    fn watch(&self, deployment: &str) -> DeploymentWatcher {
        let policy = ReconnectPolicy::TRANSIENT;
        DeploymentWatcher::of(self.server.target(), deployment, policy)
    }

    async fn wait(&self, goal: &WaitGoal) -> Result<WaitOutcome, WaitError> {
        wait_until(&mut self.watch("shop/cart"), goal, None, |_| {}).await
    }

    async fn expect_missed(&self, goal: &WaitGoal, expected: MissReason) {
        let ended = self.wait(goal).await;
        let Err(WaitError::Missed { reason, .. }) = ended else {
            panic!("not missed: {ended:?}");
        };
        assert_eq!(reason, expected);
    }

    async fn deployment(&self) -> Deployment {
        let request = viridian_proto::v1::GetDeploymentRequest {
            deployment: "shop/cart".to_owned(),
        };
        let mut client = self.operator.client.clone();
        let reply = unary(client.get_deployment(request)).await;
        reply.expect("it is there").deployment.expect("one")
    }

    /// Version 1 of `shop/cart` serves, and version 2 is on its way to the gate.
    async fn begin_gated_rollout(&self) -> WaitGoal {
        let mut operator = self.operator.clone();
        operator.create("cart", 1, policy(false)).await;
        self.wait(&WaitGoal::Settled).await.expect("version 1");
        WaitGoal::of_activation(&operator.activate("shop/cart", "v2").await)
    }
}

fn policy(auto_promote: bool) -> Option<DeploymentPolicy> {
    Some(DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
            auto_promote,
            ..BlueGreenSpec::default()
        })),
        ..DeploymentPolicy::default()
    })
}
