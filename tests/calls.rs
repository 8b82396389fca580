//! What every call that changes something promises: to be done once for each
//! request id, on the terms of the caller, or not at all.

use prost::Message as _;
use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::JoinSet;
use tonic::Code;
use uuid::Uuid;
use viridian_proto::v1::{
    ActivateRevisionRequest, DeploymentLifecycle, PromoteDeploymentRequest, RouteStatus,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, TestEnv, creation, eventually, manual, promotion, refused, within,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn a_caller_who_expected_something_else_is_told_what_it_is(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let before = env.at_gate(1, manual()).await;

    let request = PromoteDeploymentRequest {
        expected_revision: "1".to_owned(),
        ..promotion(REFERENCE)
    };
    let refusal = env.api.promote(request).await.expect_err("2 is deployed");
    let details = refused(&refusal, Code::Aborted, "REVISION_MISMATCH");
    let info = details.error_info().expect("an ErrorInfo");
    let deploying = info.metadata.get("deploying_revision_id");
    assert_eq!(deploying, Some(&before.deploying_revision_id));

    let request = PromoteDeploymentRequest {
        expected_generation: Some(before.generation - 1),
        ..promotion(REFERENCE)
    };
    let refusal = env.api.promote(request).await.expect_err("it moved on");
    let details = refused(&refusal, Code::Aborted, "GENERATION_MISMATCH");
    let info = details.error_info().expect("an ErrorInfo");
    let generation = info.metadata.get("generation");
    assert_eq!(generation, Some(&before.generation.to_string()));
    assert_eq!(env.get().await, before);

    let request = PromoteDeploymentRequest {
        expected_revision: before.deploying_revision_id.clone(),
        expected_generation: Some(before.generation),
        ..promotion(REFERENCE)
    };
    env.api.promote(request).await.expect("as expected");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_repeat_gets_the_first_reply(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let request = viridian_proto::v1::CreateDeploymentRequest {
        request_id: Uuid::now_v7().to_string(),
        labels: [("tier", "web"), ("app", "shop")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..creation(2, manual())
    };
    let first = env.api.create(request.clone()).await.expect("created");
    env.ready().await;
    let again = env.api.create(request).await.expect("a repeat");
    assert_eq!(again.encode_to_vec(), first.encode_to_vec());

    let gate = env.bring_up().await;
    let request = PromoteDeploymentRequest {
        request_id: Uuid::now_v7().to_string(),
        reason: "looks good".to_owned(),
        expected_generation: Some(gate.generation),
        ..promotion(REFERENCE)
    };
    let first = env.api.promote(request.clone()).await.expect("promoted");
    let after = env.ready().await;
    let again = env.api.promote(request.clone()).await.expect("a repeat");
    assert_eq!(again.encode_to_vec(), first.encode_to_vec());
    assert_eq!(env.get().await.generation, after.generation);

    let other = PromoteDeploymentRequest {
        reason: "looks bad".to_owned(),
        ..request
    };
    let refusal = env.api.promote(other).await.expect_err("another body");
    let details = refused(&refusal, Code::InvalidArgument, "REQUEST_ID_REUSED");
    let request = details.bad_request().expect("a BadRequest");
    assert_eq!(request.field_violations[0].field, "request_id");
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeats_at_the_same_time_all_get_the_first_reply(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, manual()).await;
    let request = PromoteDeploymentRequest {
        request_id: Uuid::now_v7().to_string(),
        ..promotion(REFERENCE)
    };
    let mut calling = JoinSet::new();
    for _ in 0..16 {
        let (api, request) = (env.api.clone(), request.clone());
        calling.spawn(async move { api.promote(request).await });
    }
    let replies = within("all replies", calling.join_all()).await;
    let encoded: std::collections::BTreeSet<_> = replies
        .into_iter()
        .map(|reply| reply.expect("the one promotion").encode_to_vec())
        .collect();
    assert_eq!(encoded.len(), 1, "all the same");
    assert_eq!(env.ready().await.generation, gate.generation + 1);
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_is_taken_once(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let mut calling = JoinSet::new();
    for _ in 0..16 {
        let api = env.api.clone();
        calling.spawn(async move { api.create(creation(1, manual())).await });
    }
    let replies = within("all replies", calling.join_all()).await;
    let refusals: Vec<_> = replies.iter().filter_map(|it| it.as_ref().err()).collect();
    assert_eq!(refusals.len(), 15, "{replies:?}");
    for refusal in refusals {
        let details = refused(refusal, Code::AlreadyExists, "NAME_TAKEN");
        let resource = details.resource_info().expect("a ResourceInfo");
        assert_eq!(resource.resource_type, "viridian.Deployment");
        assert_eq!(resource.resource_name, REFERENCE);
    }
    // Those that were refused left nothing behind.
    env.ready().await;
    assert_eq!(env.routes().await.len(), 1);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_second_activation_is_refused_unless_it_supersedes(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, manual()).await;
    let third = env.api.create_revision(REFERENCE, false).await;
    let third = third.expect("only recorded").revision.expect("a revision");
    let before = env.get().await;

    let request = ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: third.number.to_string(),
        ..ActivateRevisionRequest::default()
    };
    let refusal = env.api.activate(request.clone()).await;
    let refusal = refusal.expect_err("2 is being deployed");
    let details = refused(&refusal, Code::Aborted, "DEPLOYMENT_IN_PROGRESS");
    let info = details.error_info().expect("an ErrorInfo");
    let deploying = info.metadata.get("deploying_revision_id");
    assert_eq!(deploying, Some(&gate.deploying_revision_id));

    // Recorded and activated, or neither.
    let refusal = env.api.create_revision(REFERENCE, true).await;
    refused(
        &refusal.expect_err("2 is being deployed"),
        Code::Aborted,
        "DEPLOYMENT_IN_PROGRESS",
    );
    assert_eq!(env.get().await, before);

    let request = ActivateRevisionRequest {
        supersede: true,
        ..request
    };
    let superseded = env.api.activate(request).await.expect("2 is given up");
    assert_eq!(superseded.lifecycle(), DeploymentLifecycle::Deploying);
    assert_eq!(superseded.deploying_revision_id, third.id);
    assert_eq!(superseded.current_revision_id, gate.current_revision_id);
    assert_eq!(superseded.generation, before.generation + 1);
    eventually("the end of the old green", async || {
        let old = env.routes_of(&gate.deploying_revision_id).await;
        let over = |it: &viridian_proto::v1::Route| it.status() == RouteStatus::Terminated;
        old.iter().all(over).then_some(())
    })
    .await;
    env.until("the gate", |it| it.green.unwrap_or_default().ready == 2)
        .await;
    env.promote().await;
    assert_eq!(env.ready().await.current_revision_id, third.id);

    let fourth = env.api.create_revision(REFERENCE, false).await;
    let fourth = fourth.expect("recorded").revision.expect("a revision");
    assert_eq!(fourth.number, 4, "the refused one left no trace");
}

#[apply(both_engines)]
#[tokio::test]
async fn the_current_revision_cannot_be_activated(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let before = env.serving(1, manual()).await;
    let request = ActivateRevisionRequest {
        deployment: before.id.clone(),
        revision: before.current_revision_id.clone(),
        ..ActivateRevisionRequest::default()
    };
    let refusal = env.api.activate(request).await;
    let refusal = refusal.expect_err("it is current already");
    let details = refused(&refusal, Code::FailedPrecondition, "ALREADY_CURRENT");
    assert!(details.precondition_failure().is_some());
    assert_eq!(env.get().await, before);
}

#[apply(both_engines)]
#[tokio::test]
async fn what_never_came_up_is_replaced_directly(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.scheduler
        .plan(1, [crate::harness::RouteBehavior::Pending]);
    let created = env.api.create(creation(2, manual())).await;
    let created = created.expect("created");
    let activated = env.deploy().await;
    assert_eq!(activated.lifecycle(), DeploymentLifecycle::Pending);
    assert_ne!(activated.current_revision_id, created.current_revision_id);
    assert_eq!(activated.deploying_revision_id, "");
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, activated.current_revision_id);
    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.endpoints.len(), 2);
}
