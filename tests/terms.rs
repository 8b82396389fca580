//! The terms of every other call that changes something: once for each request
//! id, for the generation that the caller saw, with its reason in history.

use prost::Message as _;
use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Code, Status};
use uuid::Uuid;
use viridian_proto::v1::{
    AbortDeploymentRequest, ActivateRevisionRequest, DeleteDeploymentRequest, Deployment,
    PauseDeploymentRequest, ResumeDeploymentRequest, RollbackDeploymentRequest,
    UpdateDeploymentRequest,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, REFERENCE, TestEnv, abort, creation, delete, manual, pause, refused, resume,
        roll_back, update,
    },
};

#[derive(Clone, Copy, Debug)]
enum Method {
    Update,
    Pause,
    Resume,
    Abort,
    RollBack,
    Delete,
}

#[derive(Clone, Debug)]
struct Terms {
    request_id: String,
    expected_generation: Option<i64>,
    reason: String,
}

/// It was deleted, and the new one has no second revision.
#[apply(both_engines)]
#[tokio::test]
async fn a_repeat_gets_its_reply_though_the_name_leads_to_another_deployment(
    #[case] engine: Engine,
) {
    let env = TestEnv::start(engine).await;
    let second = env.at_gate(1, manual()).await.deploying_revision_number;
    let request_id = || Uuid::now_v7().to_string();
    let aborting = AbortDeploymentRequest {
        expected_revision: second.to_string(),
        request_id: request_id(),
        ..abort(REFERENCE)
    };
    let activating = ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: second.to_string(),
        request_id: request_id(),
        ..ActivateRevisionRequest::default()
    };
    let aborted = env.api.abort(aborting.clone()).await.expect("aborted");
    let activated = env.api.activate(activating.clone()).await;
    let activated = activated.expect("activated");
    env.api.delete(delete(REFERENCE)).await.expect("deleted");
    let other = env.api.create(creation(1, manual())).await;
    let other = other.expect("the name is free").id;

    assert_eq!(env.api.abort(aborting).await.expect("a repeat"), aborted);
    let again = env.api.activate(activating).await.expect("a repeat");
    assert_eq!(again, activated);
    assert_eq!(env.get().await.id, other);
    assert_eq!(
        env.get().await.current_revision_number,
        1,
        "it is left alone"
    );
}

#[apply(both_engines)]
#[tokio::test]
async fn each_call_is_done_once_on_its_terms(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let id = env.at_gate(1, manual()).await.id;
    env.promote().await;
    env.bring_up().await;
    for (method, phase, entries) in [
        (Method::Update, "UPDATE", 1),
        (Method::Pause, "PAUSE", 1),
        (Method::Resume, "RESUME", 1),
        // By way of ROLLING_BACK.
        (Method::Abort, "ABORT", 2),
        (Method::RollBack, "ROLL_BACK", 1),
        (Method::Delete, "DELETE", 1),
    ] {
        let generation = env.api.get(&id).await.generation;
        let terms = Terms {
            request_id: Uuid::now_v7().to_string(),
            expected_generation: Some(generation),
            reason: format!("because of {phase}"),
        };
        let stale = Terms {
            expected_generation: Some(generation - 1),
            ..terms.clone()
        };
        let refusal = method.call(&env.api, &stale).await;
        let refusal = refusal.expect_err("it moved on");
        let details = refused(&refusal, Code::Aborted, "GENERATION_MISMATCH");
        let info = details.error_info().expect("an ErrorInfo");
        let actual = info.metadata.get("generation");
        assert_eq!(actual, Some(&generation.to_string()), "{method:?}");
        assert_eq!(env.api.get(&id).await.generation, generation);

        let (first, bytes) = method.call(&env.api, &terms).await.expect(phase);
        assert_eq!(first.generation, generation + 1, "{method:?}");
        let (_, again) = method.call(&env.api, &terms).await.expect("a repeat");
        assert_eq!(again, bytes, "{method:?}");
        assert_eq!(env.api.get(&id).await.generation, generation + 1);
        let other = Terms {
            reason: "another".to_owned(),
            ..terms.clone()
        };
        let refusal = method.call(&env.api, &other).await;
        let refusal = refusal.expect_err("another body");
        refused(&refusal, Code::InvalidArgument, "REQUEST_ID_REUSED");

        let mut history = env.api.history(&id).await;
        history.retain(|entry| entry.request_id == terms.request_id);
        assert_eq!(history.len(), entries, "{history:?}");
        for entry in history {
            assert_eq!(entry.phase, phase);
            assert_eq!(entry.actor, "anonymous");
            assert_eq!(entry.reason, terms.reason);
        }
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn a_repeat_is_about_the_first_though_the_name_is_taken_again(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let terms = || Terms {
        request_id: Uuid::now_v7().to_string(),
        expected_generation: None,
        reason: String::new(),
    };
    let (paused, deleted) = (terms(), terms());
    let (_, pause) = Method::Pause.call(&env.api, &paused).await.expect("paused");
    let (_, delete) = Method::Delete
        .call(&env.api, &deleted)
        .await
        .expect("deleted");
    let (_, again) = Method::Delete
        .call(&env.api, &deleted)
        .await
        .expect("a repeat");
    assert_eq!(again, delete, "nobody has the name now");
    let (_, again) = Method::Pause
        .call(&env.api, &paused)
        .await
        .expect("a repeat");
    assert_eq!(again, pause);
    let refusal = Method::Delete.call(&env.api, &terms()).await;
    let refusal = refusal.expect_err("no repeat");
    refused(&refusal, Code::NotFound, "DEPLOYMENT_NOT_FOUND");

    let created = env.api.create(creation(1, manual())).await;
    let created = created.expect("the name is free");
    let (_, again) = Method::Delete
        .call(&env.api, &deleted)
        .await
        .expect("a repeat");
    assert_eq!(again, delete, "another one has it");
    let now = env.ready().await;
    assert_eq!(now.id, created.id);
    assert_eq!(now.generation, created.generation, "it was not touched");
}

impl Method {
    /// Calls it by name. Gives the deployment, and the reply byte by byte.
    async fn call(self, api: &Api, terms: &Terms) -> Result<(Deployment, Vec<u8>), Status> {
        let Terms {
            request_id,
            expected_generation,
            reason,
        } = terms.clone();
        let deployment = match self {
            Self::Update => {
                let request = UpdateDeploymentRequest {
                    revision_history_limit: 7,
                    request_id,
                    expected_generation,
                    reason,
                    ..update(REFERENCE)
                };
                api.update(request).await?
            }
            Self::Pause => {
                let request = PauseDeploymentRequest {
                    request_id,
                    expected_generation,
                    reason,
                    ..pause(REFERENCE)
                };
                api.pause(request).await?
            }
            Self::Resume => {
                let request = ResumeDeploymentRequest {
                    request_id,
                    expected_generation,
                    reason,
                    ..resume(REFERENCE)
                };
                api.resume(request).await?
            }
            Self::Abort => {
                let request = AbortDeploymentRequest {
                    request_id,
                    expected_generation,
                    reason,
                    ..abort(REFERENCE)
                };
                api.abort(request).await?
            }
            Self::RollBack => {
                let request = RollbackDeploymentRequest {
                    request_id,
                    expected_generation,
                    reason,
                    // By its number: after the abort no revision is the default.
                    revision: "1".to_owned(),
                    // Waits at its gate: without one its promotion would race the next call.
                    gated: true,
                    ..roll_back(REFERENCE)
                };
                let reply = api.roll_back(request).await?;
                let bytes = reply.encode_to_vec();
                return Ok((reply.deployment.expect("a deployment"), bytes));
            }
            Self::Delete => {
                let request = DeleteDeploymentRequest {
                    request_id,
                    expected_generation,
                    reason,
                    ..delete(REFERENCE)
                };
                api.delete(request).await?
            }
        };
        let bytes = deployment.encode_to_vec();
        Ok((deployment, bytes))
    }
}
