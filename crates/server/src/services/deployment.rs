//! `DeploymentService`: each method by the file that its name stands in.

mod life;
mod lists;
mod revisions;
mod rollout;
mod watch;

use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, deployment_service_server::DeploymentService};

use crate::state::Shared;

/// `DeploymentService`, on a database.
pub(crate) struct Deployments(pub(crate) Shared);

#[tonic::async_trait]
impl DeploymentService for Deployments {
    async fn create_deployment(
        &self,
        request: Request<v1::CreateDeploymentRequest>,
    ) -> Result<Response<v1::CreateDeploymentResponse>, Status> {
        life::create(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Result<Response<v1::GetDeploymentResponse>, Status> {
        life::get(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Result<Response<v1::ListDeploymentsResponse>, Status> {
        lists::deployments(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn update_deployment(
        &self,
        request: Request<v1::UpdateDeploymentRequest>,
    ) -> Result<Response<v1::UpdateDeploymentResponse>, Status> {
        life::update(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn delete_deployment(
        &self,
        request: Request<v1::DeleteDeploymentRequest>,
    ) -> Result<Response<v1::DeleteDeploymentResponse>, Status> {
        life::delete(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn create_revision(
        &self,
        request: Request<v1::CreateRevisionRequest>,
    ) -> Result<Response<v1::CreateRevisionResponse>, Status> {
        revisions::create(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn get_revision(
        &self,
        request: Request<v1::GetRevisionRequest>,
    ) -> Result<Response<v1::GetRevisionResponse>, Status> {
        revisions::get(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        lists::revisions(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn activate_revision(
        &self,
        request: Request<v1::ActivateRevisionRequest>,
    ) -> Result<Response<v1::ActivateRevisionResponse>, Status> {
        revisions::activate(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn promote_deployment(
        &self,
        request: Request<v1::PromoteDeploymentRequest>,
    ) -> Result<Response<v1::PromoteDeploymentResponse>, Status> {
        rollout::promote(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn abort_deployment(
        &self,
        request: Request<v1::AbortDeploymentRequest>,
    ) -> Result<Response<v1::AbortDeploymentResponse>, Status> {
        rollout::abort(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn rollback_deployment(
        &self,
        request: Request<v1::RollbackDeploymentRequest>,
    ) -> Result<Response<v1::RollbackDeploymentResponse>, Status> {
        rollout::roll_back(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn pause_deployment(
        &self,
        request: Request<v1::PauseDeploymentRequest>,
    ) -> Result<Response<v1::PauseDeploymentResponse>, Status> {
        rollout::pause(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn resume_deployment(
        &self,
        request: Request<v1::ResumeDeploymentRequest>,
    ) -> Result<Response<v1::ResumeDeploymentResponse>, Status> {
        rollout::resume(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        lists::routes(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        lists::history(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }

    type WatchDeploymentsStream = watch::EventStream;

    async fn watch_deployments(
        &self,
        request: Request<v1::WatchDeploymentsRequest>,
    ) -> Result<Response<watch::EventStream>, Status> {
        watch::watch(&self.0, &request.into_inner())
            .await
            .map(Response::new)
    }
}
