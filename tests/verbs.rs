//! Abort, roll back, pause, resume and delete: what each does, and when it is
//! refused.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use tonic::Code;
use viridian_proto::v1::{
    BlockerCode, BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy,
    DeploymentSubStep, IntOrPercent, RollbackDeploymentRequest, RollingUpdateSpec, Route,
    RouteHealthStatus, RouteStatus, UpdateDeploymentRequest, deployment_policy::Strategy,
    int_or_percent::Value,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, RouteBehavior, TestEnv, abort, active, blue_green, creation, delete,
        eventually, field_paths, hold_for, ids, manual, pause, prevented, refused, resume,
        roll_back, seconds, update,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn abort_gives_green_up_and_leaves_blue_alone(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, manual()).await;
    let blue = env.routes_of(&gate.current_revision_id).await;
    let aborted = env.api.abort(abort(REFERENCE)).await.expect("deploying");
    assert_eq!(aborted.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!(aborted.deploying_revision_id, "");
    assert_eq!(aborted.current_revision_id, gate.current_revision_id);
    assert_eq!(aborted.generation, gate.generation + 1);
    assert_eq!(aborted.epoch, gate.epoch, "proxies see nothing");
    assert_eq!(env.routes_of(&gate.current_revision_id).await, blue);
    ended(&env, &gate.deploying_revision_id).await;

    let before = env.get().await;
    let refusal = env.api.abort(abort(REFERENCE)).await;
    let message = prevented(&refusal.expect_err("it is READY"), "NOT_DEPLOYING");
    assert!(message.contains("READY"), "{message}");
    assert_eq!(env.get().await, before);
}

#[apply(both_engines)]
#[tokio::test]
async fn abort_of_a_rolling_update_is_refused_once_it_goes_back(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(2, rolling()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    env.deploy().await;
    env.api.pause(pause(REFERENCE)).await.expect("paused");
    let aborted = env.api.abort(abort(REFERENCE)).await.expect("deploying");
    assert_eq!(aborted.sub_step(), DeploymentSubStep::RollingBack);
    let before = env.get().await;
    let refusal = env.api.abort(abort(REFERENCE)).await;
    prevented(&refusal.expect_err("it goes back already"), "ROLLING_BACK");
    assert_eq!(env.get().await, before);
    env.api.resume(resume(REFERENCE)).await.expect("resumed");
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, serving.current_revision_id);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_roll_back_to_retained_routes_is_instant(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, retaining()).await;
    let blue = env.routes_of(&gate.current_revision_id).await;
    env.promote().await;
    // Even when green is the broken side.
    let green = env.routes_of(&gate.deploying_revision_id).await;
    env.api.see(&green, RouteHealthStatus::Unhealthy).await;
    let reply = env.api.roll_back(roll_back(REFERENCE)).await;
    let reply = reply.expect("blue is retained");
    assert!(reply.instant);
    let back = reply.deployment.expect("a deployment");
    assert_eq!(back.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!(back.current_revision_id, gate.current_revision_id);
    assert_eq!(ids(&active(&env.routes().await)), ids(&blue));
    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, gate.current_revision_id);
    assert_eq!(table.epoch, back.epoch);
    ended(&env, &gate.deploying_revision_id).await;
}

#[apply(both_engines)]
#[tokio::test]
async fn any_other_roll_back_is_a_deployment(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let first = env.serving(1, manual()).await.current_revision_id;
    let refusal = env.api.roll_back(roll_back(REFERENCE)).await;
    prevented(
        &refusal.expect_err("nothing before"),
        "NO_PREVIOUS_REVISION",
    );

    let gate = env.bring_up().await;
    let to_first = RollbackDeploymentRequest {
        revision: first.clone(),
        ..roll_back(REFERENCE)
    };
    // To another one than what serves is no way back.
    let refusal = env.api.roll_back(naming("2")).await;
    let refusal = refusal.expect_err("2 is being deployed");
    let details = refused(&refusal, Code::Aborted, "DEPLOYMENT_IN_PROGRESS");
    let info = details.error_info().expect("an ErrorInfo");
    let deploying = info.metadata.get("deploying_revision_id");
    assert_eq!(deploying, Some(&gate.deploying_revision_id));
    assert!(refusal.message().contains("abort"), "{refusal:?}");
    env.promote().await;
    let refusal = env.api.roll_back(naming("2")).await;
    prevented(&refusal.expect_err("it is current now"), "ALREADY_CURRENT");
    let refusal = env.api.roll_back(naming("9")).await;
    let refusal = refusal.expect_err("there is none");
    refused(&refusal, Code::NotFound, "REVISION_NOT_FOUND");
    let refusal = env.api.roll_back(naming("two")).await;
    assert_eq!(
        field_paths(&refusal.expect_err("no revision")),
        ["revision"]
    );

    let reply = env.api.roll_back(to_first).await.expect("1 is kept");
    assert!(!reply.instant);
    let back = reply.deployment.expect("a deployment");
    assert_eq!(back.lifecycle(), DeploymentLifecycle::Deploying);
    assert_eq!(back.deploying_revision_id, first);
    // The way back has no gate.
    assert_eq!(env.ready().await.current_revision_id, first);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_pause_holds_the_gate_and_the_clocks(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        auto_promote: true,
        promote_delay: seconds(0.5),
        ..BlueGreenSpec::default()
    });
    env.serving(1, policy).await;
    let refusal = env.api.resume(resume(REFERENCE)).await;
    prevented(&refusal.expect_err("it is not paused"), "NOT_PAUSED");
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    let deploying = env.deploy().await;
    let paused = env.api.pause(pause(REFERENCE)).await.expect("paused");
    assert!(paused.paused);
    assert_eq!(paused.deadline_time, None, "no deadline runs");
    let codes: Vec<_> = paused.blockers.iter().map(|it| it.code()).collect();
    assert!(codes.contains(&BlockerCode::Paused), "{codes:?}");
    let refusal = env.api.pause(pause(REFERENCE)).await;
    prevented(&refusal.expect_err("it is paused"), "ALREADY_PAUSED");

    hold_for(Duration::from_millis(300), async || {
        assert_eq!(env.get().await.generation, paused.generation);
    })
    .await;
    let resumed = env.api.resume(resume(REFERENCE)).await.expect("resumed");
    assert!(!resumed.paused);
    assert!(resumed.deadline_time.is_some(), "it runs again");
    assert_eq!(resumed.generation, deploying.generation + 2);
}

#[apply(both_engines)]
#[tokio::test]
async fn what_is_deleted_ends_and_its_name_is_free_at_once(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, manual()).await;
    let deleted = env.api.delete(delete(REFERENCE)).await.expect("deleted");
    assert_eq!(deleted.lifecycle(), DeploymentLifecycle::Destroying);
    assert_eq!(deleted.id, gate.id);
    assert_eq!(deleted.generation, gate.generation + 1);
    let refusal = env.api.find(REFERENCE).await.expect_err("no such name");
    refused(&refusal, Code::NotFound, "DEPLOYMENT_NOT_FOUND");

    let again = env.api.create(creation(1, manual())).await;
    assert_ne!(again.expect("the name is free").id, gate.id);
    env.ready().await;
    let over = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Destroyed;
    env.api.until(&gate.id, "its end", over).await;
    let routes = env.api.list_routes(&gate.id).await;
    assert_eq!(routes.len(), 4);
    assert!(
        routes
            .iter()
            .all(|it| it.status() == RouteStatus::Terminated)
    );
    let table = env.api.table(&gate.id).await;
    assert!(table.endpoints.is_empty() && table.revision_id.is_empty());
}

#[apply(both_engines)]
#[tokio::test]
async fn a_deletion_empties_the_table_of_what_never_served(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.scheduler.plan(1, [RouteBehavior::Pending]);
    let created = env.api.create(creation(1, manual())).await;
    let created = created.expect("created");
    let mut tables = env.api.watch(REFERENCE).await;
    let before = tables.next().await.expect("the present table");
    assert_eq!(before.revision_id, created.current_revision_id);
    env.api.delete(delete(REFERENCE)).await.expect("deleted");
    let after = tables.next().await.expect("the last table");
    assert!(after.endpoints.is_empty() && after.revision_id.is_empty());
    assert_eq!(after.epoch, before.epoch + 1);
}

#[apply(both_engines)]
#[tokio::test]
async fn nothing_can_be_done_with_what_is_gone(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let id = env.serving(1, manual()).await.id;
    env.api.delete(delete(REFERENCE)).await.expect("deleted");
    let over = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Destroyed;
    let before = env.api.until(&id, "its end", over).await;
    let scale = UpdateDeploymentRequest {
        target_replicas: 3,
        ..update(&id)
    };
    let refusals = [
        env.api.delete(delete(&id)).await.err(),
        env.api.pause(pause(&id)).await.err(),
        env.api.resume(resume(&id)).await.err(),
        env.api.update(scale).await.err(),
        env.api.roll_back(roll_back(&id)).await.err(),
        env.api.create_revision(&id, false).await.err(),
    ];
    for refusal in refusals {
        let message = prevented(&refusal.expect("it is gone"), "DEPLOYMENT_GONE");
        assert!(message.contains("DESTROYED"), "{message}");
    }
    let refusal = env.api.abort(abort(&id)).await.expect_err("it is gone");
    prevented(&refusal, "NOT_DEPLOYING");
    assert_eq!(env.api.get(&id).await, before);
}

/// Waits until all routes of a revision have ended.
async fn ended(env: &TestEnv, revision_id: &str) {
    eventually("the end of its routes", async || {
        let routes = env.routes_of(revision_id).await;
        let over = |it: &Route| it.status() == RouteStatus::Terminated;
        routes.iter().all(over).then_some(())
    })
    .await;
}

fn naming(revision: &str) -> RollbackDeploymentRequest {
    RollbackDeploymentRequest {
        revision: revision.to_owned(),
        ..roll_back(REFERENCE)
    }
}

fn retaining() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        scale_down_delay: seconds(600.0),
        ..BlueGreenSpec::default()
    })
}

fn rolling() -> DeploymentPolicy {
    let one = IntOrPercent {
        value: Some(Value::Count(1)),
    };
    DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec {
            max_surge: Some(one),
            max_unavailable: None,
        })),
        ..manual()
    }
}
