//! `DeploymentService`.

use std::pin::Pin;

use tokio_stream::Stream;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, deployment_service_server::DeploymentService};
use viridian_strategy::RouteId;

use crate::{
    convert::{
        Violations,
        deployment::{blocker, deployment, parse_new},
        revision::{parse_spec, revision},
    },
    error::{IntoStatus as _, Resource, not_found, not_yet, store},
    services::lists,
    state::{Shared, Terms, call},
};

/// `DeploymentService`, on a database.
pub(crate) struct Deployments(pub(crate) Shared);

/// The terms of a mutating request, whose fields have the same names in all.
macro_rules! terms {
    ($message:expr) => {
        &Terms {
            request_id: &$message.request_id,
            expected_generation: $message.expected_generation,
            reason: &$message.reason,
        }
    };
}

#[tonic::async_trait]
impl DeploymentService for Deployments {
    async fn create_deployment(
        &self,
        request: Request<v1::CreateDeploymentRequest>,
    ) -> Result<Response<v1::CreateDeploymentResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        let new = parse_new(&message, &mut violations);
        let call = call(
            "CreateDeployment",
            &message,
            terms!(message),
            &mut violations,
        );
        violations.finish()?;
        let subject = format!("{}/{}", message.project, message.name);
        let created = self.0.database().create_deployment(new, &call).await;
        let created = created.map_err(|error| error.into_status(&subject))?;
        let deployment = Some(deployment(created.deployment));
        Ok(Response::new(v1::CreateDeploymentResponse { deployment }))
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Result<Response<v1::GetDeploymentResponse>, Status> {
        let message = request.into_inner();
        let id = self
            .0
            .resolve(&message.deployment, Violations::default())
            .await?;
        let found = self
            .0
            .database()
            .find_deployment(id)
            .await
            .map_err(|error| store(&error))?;
        let found = found.ok_or_else(|| not_found(Resource::Deployment, &message.deployment))?;
        let deployment = Some(deployment(found));
        Ok(Response::new(v1::GetDeploymentResponse { deployment }))
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Result<Response<v1::ListDeploymentsResponse>, Status> {
        lists::deployments(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn create_revision(
        &self,
        request: Request<v1::CreateRevisionRequest>,
    ) -> Result<Response<v1::CreateRevisionResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        let spec = message.spec.clone().unwrap_or_default();
        let spec = parse_spec("spec", &spec, &mut violations);
        let call = call("CreateRevision", &message, terms!(message), &mut violations);
        let id = self.0.resolve(&message.deployment, violations).await?;
        let created = self
            .0
            .database()
            .create_revision(id, spec, message.activate, &call)
            .await;
        let created = created.map_err(|error| error.into_status(&message.deployment))?;
        Ok(Response::new(v1::CreateRevisionResponse {
            deployment: Some(deployment(created.deployment)),
            revision: Some(revision(created.revision)),
        }))
    }

    async fn activate_revision(
        &self,
        request: Request<v1::ActivateRevisionRequest>,
    ) -> Result<Response<v1::ActivateRevisionResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        violations.check(
            !message.revision.is_empty(),
            "revision",
            "must be a UUID or a number",
        );
        let call = call(
            "ActivateRevision",
            &message,
            terms!(message),
            &mut violations,
        );
        let id = self.0.resolve(&message.deployment, violations).await?;
        let revision = self
            .0
            .resolve_revision(id, &message.deployment, "revision", &message.revision)
            .await?
            .ok_or_else(|| not_found(Resource::Revision, &message.revision))?;
        let database = self.0.database();
        let activated = database
            .activate_revision(id, revision.id, message.supersede, &call)
            .await;
        let activated = activated.map_err(|error| error.into_status(&message.deployment))?;
        let deployment = Some(deployment(activated.deployment));
        Ok(Response::new(v1::ActivateRevisionResponse { deployment }))
    }

    async fn promote_deployment(
        &self,
        request: Request<v1::PromoteDeploymentRequest>,
    ) -> Result<Response<v1::PromoteDeploymentResponse>, Status> {
        let message = request.into_inner();
        let mut violations = Violations::default();
        let call = call(
            "PromoteDeployment",
            &message,
            terms!(message),
            &mut violations,
        );
        let id = self.0.resolve(&message.deployment, violations).await?;
        let expected = self
            .0
            .resolve_revision(
                id,
                &message.deployment,
                "expected_revision",
                &message.expected_revision,
            )
            .await?
            .map(|revision| revision.id);
        let database = self.0.database();
        if message.validate_only {
            let preview = database.preview_promote(id, expected, &call).await;
            let preview = preview.map_err(|error| error.into_status(&message.deployment))?;
            return preview_reply(preview, &message.deployment).map(Response::new);
        }
        let promoted = database.complete_manual_promote(id, expected, &call).await;
        let promoted = promoted.map_err(|error| error.into_status(&message.deployment))?;
        Ok(Response::new(v1::PromoteDeploymentResponse {
            deployment: Some(deployment(promoted.deployment)),
            promoted_route_ids: texts(promoted.promoted),
            drained_route_ids: texts(promoted.drained),
            blockers: Vec::new(),
        }))
    }

    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        lists::routes(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn update_deployment(
        &self,
        _: Request<v1::UpdateDeploymentRequest>,
    ) -> Result<Response<v1::UpdateDeploymentResponse>, Status> {
        Err(not_yet("UpdateDeployment"))
    }

    async fn delete_deployment(
        &self,
        _: Request<v1::DeleteDeploymentRequest>,
    ) -> Result<Response<v1::DeleteDeploymentResponse>, Status> {
        Err(not_yet("DeleteDeployment"))
    }

    async fn get_revision(
        &self,
        _: Request<v1::GetRevisionRequest>,
    ) -> Result<Response<v1::GetRevisionResponse>, Status> {
        Err(not_yet("GetRevision"))
    }

    async fn list_revisions(
        &self,
        _: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        Err(not_yet("ListRevisions"))
    }

    async fn abort_deployment(
        &self,
        _: Request<v1::AbortDeploymentRequest>,
    ) -> Result<Response<v1::AbortDeploymentResponse>, Status> {
        Err(not_yet("AbortDeployment"))
    }

    async fn rollback_deployment(
        &self,
        _: Request<v1::RollbackDeploymentRequest>,
    ) -> Result<Response<v1::RollbackDeploymentResponse>, Status> {
        Err(not_yet("RollbackDeployment"))
    }

    async fn pause_deployment(
        &self,
        _: Request<v1::PauseDeploymentRequest>,
    ) -> Result<Response<v1::PauseDeploymentResponse>, Status> {
        Err(not_yet("PauseDeployment"))
    }

    async fn resume_deployment(
        &self,
        _: Request<v1::ResumeDeploymentRequest>,
    ) -> Result<Response<v1::ResumeDeploymentResponse>, Status> {
        Err(not_yet("ResumeDeployment"))
    }

    async fn list_history(
        &self,
        _: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        Err(not_yet("ListHistory"))
    }

    type WatchDeploymentsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchDeploymentsResponse, Status>> + Send>>;

    async fn watch_deployments(
        &self,
        _: Request<v1::WatchDeploymentsRequest>,
    ) -> Result<Response<Self::WatchDeploymentsStream>, Status> {
        Err(not_yet("WatchDeployments"))
    }
}

/// With `validate_only` a blocker is an answer; every other refusal is an error
/// as without it.
fn preview_reply(
    preview: viridian_store::PromotionPreview,
    subject: &str,
) -> Result<v1::PromoteDeploymentResponse, Status> {
    use viridian_store::PromoteRefusal::Rules;
    use viridian_strategy::verbs::PromoteRejection::Blocked;
    let (promoted, drained, blockers) = match preview.outcome {
        Ok((promoted, drained)) => (promoted, drained, Vec::new()),
        Err(Rules(Blocked(blockers))) => (Vec::new(), Vec::new(), blockers),
        Err(refusal) => return Err(refusal.into_status(subject)),
    };
    Ok(v1::PromoteDeploymentResponse {
        deployment: Some(deployment(preview.deployment)),
        promoted_route_ids: texts(promoted),
        drained_route_ids: texts(drained),
        blockers: blockers.iter().map(blocker).collect(),
    })
}

fn texts(ids: Vec<RouteId>) -> Vec<String> {
    ids.iter().map(RouteId::to_string).collect()
}
