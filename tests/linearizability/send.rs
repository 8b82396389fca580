//! Requests of the wire, and answers as the history has them.

use std::collections::BTreeMap;

use prost_types::FieldMask;
use tonic::Status;
use viridian_proto::v1::{
    AbortDeploymentRequest, ActivateRevisionRequest, BlueGreenSpec, CreateDeploymentRequest,
    CreateRevisionRequest, DeleteDeploymentRequest, Deployment, PauseDeploymentRequest,
    PromoteDeploymentRequest, ResumeDeploymentRequest, RevisionSpec, RollbackDeploymentRequest,
    UpdateDeploymentRequest,
};

use super::{
    call::{Answer, MARK, Operation, Shown},
    client::Ask,
};
use crate::harness::{Api, blue_green, creation, seconds};

/// A request with what all of them have in common.
macro_rules! request {
    ($ask:ident, $request:ident { $($field:ident: $value:expr),* $(,)? }) => {
        $request {
            deployment: format!("{PROJECT}/{}", $ask.name),
            request_id: $ask.request_id.map(|it| it.to_string()).unwrap_or_default(),
            expected_generation: $ask.expected_generation,
            $($field: $value,)*
            ..$request::default()
        }
    };
}

pub(super) async fn send(api: &Api, ask: &Ask) -> Result<Answer, Status> {
    let deployment = match ask.operation {
        Operation::Get => api.find(&format!("{PROJECT}/{}", ask.name)).await,
        Operation::Create { target, mark } => api.create(creation_of(ask, target, mark)).await,
        Operation::Update { target, mark } => update(api, ask, target, mark).await,
        Operation::Deploy { supersede } => deploy(api, ask, supersede).await,
        Operation::Activate {
            revision: wanted,
            supersede: instead,
        } => {
            let request = request!(
                ask,
                ActivateRevisionRequest {
                    revision: wanted.to_string(),
                    supersede: instead,
                }
            );
            api.activate(request).await
        }
        Operation::Promote { expected } => promote(api, ask, expected).await,
        Operation::Abort { expected } => {
            let request = request!(
                ask,
                AbortDeploymentRequest {
                    expected_revision: number(expected)
                }
            );
            api.abort(request).await
        }
        Operation::RollBack { expected, gated } => {
            return roll_back(api, ask, expected, gated).await;
        }
        Operation::Pause => api.pause(request!(ask, PauseDeploymentRequest {})).await,
        Operation::Resume => api.resume(request!(ask, ResumeDeploymentRequest {})).await,
        Operation::Delete => api.delete(request!(ask, DeleteDeploymentRequest {})).await,
    };
    deployment.map(|it| Answer::Done(Shown::of(&it)))
}

async fn update(
    api: &Api,
    ask: &Ask,
    target: Option<i32>,
    mark: u64,
) -> Result<Deployment, Status> {
    let mut paths = vec!["labels".to_owned()];
    paths.extend(target.map(|_| "target_replicas".to_owned()));
    let request = request!(
        ask,
        UpdateDeploymentRequest {
            target_replicas: target.unwrap_or_default(),
            labels: labels(mark),
            update_mask: Some(FieldMask { paths }),
        }
    );
    api.update(request).await
}

async fn deploy(api: &Api, ask: &Ask, instead: bool) -> Result<Deployment, Status> {
    let request = request!(
        ask,
        CreateRevisionRequest {
            spec: Some(spec()),
            activate: true,
            supersede: instead,
        }
    );
    let reply = api.deployments().create_revision(request).await?;
    Ok(reply.into_inner().deployment.expect("a deployment"))
}

async fn promote(api: &Api, ask: &Ask, expected: Option<i64>) -> Result<Deployment, Status> {
    let request = request!(
        ask,
        PromoteDeploymentRequest {
            expected_revision: number(expected)
        }
    );
    let reply = api.promote(request).await?;
    Ok(reply.deployment.expect("a deployment"))
}

async fn roll_back(
    api: &Api,
    ask: &Ask,
    expected: Option<i64>,
    is_gated: bool,
) -> Result<Answer, Status> {
    let request = request!(
        ask,
        RollbackDeploymentRequest {
            expected_revision: number(expected),
            gated: is_gated,
        }
    );
    let reply = api.roll_back(request).await?;
    Ok(Answer::RolledBack {
        instant: reply.instant,
        shown: Shown::of(&reply.deployment.expect("a deployment")),
    })
}

fn number(revision: Option<i64>) -> String {
    revision.map(|it| it.to_string()).unwrap_or_default()
}

fn creation_of(ask: &Ask, target: i32, mark: u64) -> CreateDeploymentRequest {
    // Some routes are kept, so that a roll-back may be instant.
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(60.0),
        ..BlueGreenSpec::default()
    });
    CreateDeploymentRequest {
        project: PROJECT.to_owned(),
        name: ask.name.clone(),
        labels: labels(mark),
        // More than there are in a run: one that is pruned could no longer be activated.
        revision_history_limit: 1_000,
        request_id: ask.request_id.map(|it| it.to_string()).unwrap_or_default(),
        ..creation(target, policy)
    }
}

fn labels(mark: u64) -> BTreeMap<String, String> {
    [(MARK.to_owned(), mark.to_string())].into()
}

fn spec() -> RevisionSpec {
    RevisionSpec {
        image: "registry.test/sound:1".to_owned(),
        ..RevisionSpec::default()
    }
}

/// The project of [`creation`].
const PROJECT: &str = "shop";
