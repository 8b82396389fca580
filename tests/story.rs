//! The life of a deployment, from its creation to the next one of its name, by
//! every call that there is.

use std::time::Duration;

use rstest::rstest;
use viridian_proto::v1::{
    ActivateRevisionRequest, BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy,
    DeploymentSubStep, UpdateDeploymentRequest,
};

use crate::harness::{
    Engine, Fate, REFERENCE, World, abort, active, blue_green, creation, delete, hold_for, ids,
    pause, resume, roll_back, seconds, update,
};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn from_creation_to_the_next_of_its_name(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let first = world.serving(2, retaining()).await;
    let second = given_up_and_tried_again(&world).await;
    promoted_and_taken_back(&world, &first, &second).await;
    scaled(&world).await;
    paused_past_its_deadline(&world, &first).await;
    replaced(&world, &first).await;
}

/// Activate, abort, activate again. Gives it at the gate.
async fn given_up_and_tried_again(world: &World) -> Deployment {
    let gate = world.bring_up().await;
    world.api.abort(abort(REFERENCE)).await.expect("deploying");
    let again = ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: "2".to_owned(),
        ..ActivateRevisionRequest::default()
    };
    let again = world.api.activate(again).await.expect("it may come again");
    assert_eq!(again.deploying_revision_id, gate.deploying_revision_id);
    world
        .until("the gate", |it| {
            it.sub_step() == DeploymentSubStep::AwaitingPromotion
        })
        .await
}

/// Promote, and back at once.
async fn promoted_and_taken_back(world: &World, first: &Deployment, second: &Deployment) {
    let blue = active(&world.routes_of(&first.current_revision_id).await);
    world.promote().await;
    let promoted = world.get().await;
    assert_eq!(promoted.current_revision_id, second.deploying_revision_id);
    assert_eq!(promoted.blue.expect("counts").retained, 2);
    let reply = world.api.roll_back(roll_back(REFERENCE)).await;
    let reply = reply.expect("blue is retained");
    assert!(reply.instant);
    let back = reply.deployment.expect("a deployment");
    assert_eq!(back.current_revision_id, first.current_revision_id);
    assert_eq!(ids(&active(&world.routes().await)), ids(&blue));
}

async fn scaled(world: &World) {
    let request = UpdateDeploymentRequest {
        target_replicas: 3,
        ..update(REFERENCE)
    };
    world.api.update(request).await.expect("it is taken");
    let three = |it: &Deployment| it.blue.unwrap_or_default().ready == 3;
    world.until("three", three).await;
    assert_eq!(world.api.table(REFERENCE).await.endpoints.len(), 3);
}

/// What would fail in a second does not while it is paused, and then it does.
async fn paused_past_its_deadline(world: &World, first: &Deployment) {
    world.fleet.plan(3, [Fate::Pending]);
    let deploying = world.deploy().await;
    world.api.pause(pause(REFERENCE)).await.expect("paused");
    let request = UpdateDeploymentRequest {
        policy: Some(DeploymentPolicy {
            progress_deadline: seconds(0.5),
            ..DeploymentPolicy::default()
        }),
        ..update(REFERENCE)
    };
    world.api.update(request).await.expect("it is taken");
    hold_for(Duration::from_secs(2), async || {
        let now = world.get().await;
        assert_eq!(now.lifecycle(), DeploymentLifecycle::Deploying);
        assert_eq!(now.deploying_revision_id, deploying.deploying_revision_id);
        assert_eq!(now.deadline_time, None);
    })
    .await;
    world.api.resume(resume(REFERENCE)).await.expect("paused");
    let ready = world.ready().await;
    assert_eq!(ready.current_revision_id, first.current_revision_id);
    assert_eq!(world.api.table(REFERENCE).await.endpoints.len(), 3);
}

/// Delete, and create another of the name.
async fn replaced(world: &World, first: &Deployment) {
    world.api.delete(delete(REFERENCE)).await.expect("deleted");
    let next = world.api.create(creation(1, retaining())).await;
    let next = next.expect("the name is free");
    assert_ne!(next.id, first.id);
    assert_eq!(world.ready().await.id, next.id);
    let over = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Destroyed;
    world.api.until(&first.id, "its end", over).await;

    let history = world.api.history(&first.id).await;
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
