//! The life of a deployment, from its creation to the next one of its name, by
//! every call that there is.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    ActivateRevisionRequest, BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy,
    DeploymentSubStep, UpdateDeploymentRequest,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, RouteBehavior, TestEnv, abort, active, blue_green, creation, delete,
        hold_for, ids, pause, resume, roll_back, seconds, update,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn from_creation_to_the_next_of_its_name(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let first = env.serving(2, retaining()).await;
    let second = given_up_and_tried_again(&env).await;
    promoted_and_taken_back(&env, &first, &second).await;
    scaled(&env).await;
    paused_past_its_deadline(&env, &first).await;
    replaced(&env, &first).await;
}

/// Activate, abort, activate again. Gives it at the gate.
async fn given_up_and_tried_again(env: &TestEnv) -> Deployment {
    let gate = env.bring_up().await;
    env.api.abort(abort(REFERENCE)).await.expect("deploying");
    let again = ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: "2".to_owned(),
        ..ActivateRevisionRequest::default()
    };
    let again = env.api.activate(again).await.expect("it may come again");
    assert_eq!(again.deploying_revision_id, gate.deploying_revision_id);
    env.until("the gate", |it| {
        it.sub_step() == DeploymentSubStep::AwaitingPromotion
    })
    .await
}

/// Promote, and back at once.
async fn promoted_and_taken_back(env: &TestEnv, first: &Deployment, second: &Deployment) {
    let blue = active(&env.routes_of(&first.current_revision_id).await);
    env.promote().await;
    let promoted = env.get().await;
    assert_eq!(promoted.current_revision_id, second.deploying_revision_id);
    assert_eq!(promoted.blue.expect("counts").retained, 2);
    let reply = env.api.roll_back(roll_back(REFERENCE)).await;
    let reply = reply.expect("blue is retained");
    assert!(reply.instant);
    let back = reply.deployment.expect("a deployment");
    assert_eq!(back.current_revision_id, first.current_revision_id);
    assert_eq!(ids(&active(&env.routes().await)), ids(&blue));
}

async fn scaled(env: &TestEnv) {
    let request = UpdateDeploymentRequest {
        target_replicas: 3,
        ..update(REFERENCE)
    };
    env.api.update(request).await.expect("it is taken");
    let three = |it: &Deployment| it.blue.unwrap_or_default().ready == 3;
    env.until("three", three).await;
    assert_eq!(env.api.table(REFERENCE).await.endpoints.len(), 3);
}

/// What would fail in a second does not while it is paused, and then it does.
async fn paused_past_its_deadline(env: &TestEnv, first: &Deployment) {
    env.scheduler.plan(3, [RouteBehavior::Pending]);
    let deploying = env.deploy().await;
    env.api.pause(pause(REFERENCE)).await.expect("paused");
    let request = UpdateDeploymentRequest {
        policy: Some(DeploymentPolicy {
            progress_deadline: seconds(0.5),
            ..DeploymentPolicy::default()
        }),
        ..update(REFERENCE)
    };
    env.api.update(request).await.expect("it is taken");
    hold_for(Duration::from_secs(2), async || {
        let now = env.get().await;
        assert_eq!(now.lifecycle(), DeploymentLifecycle::Deploying);
        assert_eq!(now.deploying_revision_id, deploying.deploying_revision_id);
        assert_eq!(now.deadline_time, None);
    })
    .await;
    env.api.resume(resume(REFERENCE)).await.expect("paused");
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, first.current_revision_id);
    assert_eq!(env.api.table(REFERENCE).await.endpoints.len(), 3);
}

/// Delete, and create another of the name.
async fn replaced(env: &TestEnv, first: &Deployment) {
    env.api.delete(delete(REFERENCE)).await.expect("deleted");
    let next = env.api.create(creation(1, retaining())).await;
    let next = next.expect("the name is free");
    assert_ne!(next.id, first.id);
    assert_eq!(env.ready().await.id, next.id);
    let over = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Destroyed;
    env.api.until(&first.id, "its end", over).await;

    let history = env.api.history(&first.id).await;
    let mut phases: Vec<_> = history.iter().map(|it| it.phase.as_str()).collect();
    phases.retain(|phase| *phase != "EVALUATE");
    phases.reverse();
    let expected = [
        "CREATE",
        "ACTIVATE",
        "ABORT",
        "ABORT",
        "ACTIVATE",
        "PROMOTE",
        "ROLL_BACK",
        "UPDATE",
        "ACTIVATE",
        "PAUSE",
        "UPDATE",
        "RESUME",
        "ROLL_BACK",
        "ROLL_BACK",
        "DELETE",
    ];
    assert_eq!(phases, expected);
}

/// Retained for longer than the story takes.
fn retaining() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        scale_down_delay: seconds(600.0),
        ..BlueGreenSpec::default()
    })
}
