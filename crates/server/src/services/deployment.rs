//! `DeploymentService`: each method by the file that its name stands in.

mod apply;
mod life;
mod lists;
mod matching;
mod replicas;
mod revisions;
mod rollout;
mod sets;
mod watch;

use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, deployment_service_server::DeploymentService};

use crate::state::ServerState;

#[cfg(any(test, fuzzing))]
pub(crate) use self::{lists::parse_filter, watch::parse_watch};

/// `DeploymentService`, on a database.
pub(crate) struct DeploymentApi(pub(crate) ServerState);

#[tonic::async_trait]
impl DeploymentService for DeploymentApi {
    async fn create_deployment(
        &self,
        request: Request<v1::CreateDeploymentRequest>,
    ) -> Result<Response<v1::CreateDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        life::create(&scope, &message).await.map(Response::new)
    }

    async fn apply_deployment(
        &self,
        request: Request<v1::ApplyDeploymentRequest>,
    ) -> Result<Response<v1::ApplyDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        apply::apply(&scope, &message).await.map(Response::new)
    }

    async fn get_deployment(
        &self,
        request: Request<v1::GetDeploymentRequest>,
    ) -> Result<Response<v1::GetDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        life::get(&scope, &message).await.map(Response::new)
    }

    async fn list_deployments(
        &self,
        request: Request<v1::ListDeploymentsRequest>,
    ) -> Result<Response<v1::ListDeploymentsResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        lists::deployments(&scope, &message)
            .await
            .map(Response::new)
    }

    async fn update_deployment(
        &self,
        request: Request<v1::UpdateDeploymentRequest>,
    ) -> Result<Response<v1::UpdateDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        life::update(&scope, &message).await.map(Response::new)
    }

    async fn delete_deployment(
        &self,
        request: Request<v1::DeleteDeploymentRequest>,
    ) -> Result<Response<v1::DeleteDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        life::delete(&scope, &message).await.map(Response::new)
    }

    async fn create_revision(
        &self,
        request: Request<v1::CreateRevisionRequest>,
    ) -> Result<Response<v1::CreateRevisionResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        revisions::create(&scope, &message).await.map(Response::new)
    }

    async fn get_revision(
        &self,
        request: Request<v1::GetRevisionRequest>,
    ) -> Result<Response<v1::GetRevisionResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        revisions::get(&scope, &message).await.map(Response::new)
    }

    async fn list_revisions(
        &self,
        request: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        lists::revisions(&scope, &message).await.map(Response::new)
    }

    async fn activate_revision(
        &self,
        request: Request<v1::ActivateRevisionRequest>,
    ) -> Result<Response<v1::ActivateRevisionResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        revisions::activate(&scope, &message)
            .await
            .map(Response::new)
    }

    async fn promote_deployment(
        &self,
        request: Request<v1::PromoteDeploymentRequest>,
    ) -> Result<Response<v1::PromoteDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        rollout::promote(&scope, &message).await.map(Response::new)
    }

    async fn promote_deployments(
        &self,
        request: Request<v1::PromoteDeploymentsRequest>,
    ) -> Result<Response<v1::PromoteDeploymentsResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        sets::promote(&scope, &message).await.map(Response::new)
    }

    async fn rollback_deployments(
        &self,
        request: Request<v1::RollbackDeploymentsRequest>,
    ) -> Result<Response<v1::RollbackDeploymentsResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        sets::roll_back(&scope, &message).await.map(Response::new)
    }

    async fn advance_deployment(
        &self,
        request: Request<v1::AdvanceDeploymentRequest>,
    ) -> Result<Response<v1::AdvanceDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        rollout::advance(&scope, &message).await.map(Response::new)
    }

    async fn abort_deployment(
        &self,
        request: Request<v1::AbortDeploymentRequest>,
    ) -> Result<Response<v1::AbortDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        rollout::abort(&scope, &message).await.map(Response::new)
    }

    async fn rollback_deployment(
        &self,
        request: Request<v1::RollbackDeploymentRequest>,
    ) -> Result<Response<v1::RollbackDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        rollout::roll_back(&scope, &message)
            .await
            .map(Response::new)
    }

    async fn pause_deployment(
        &self,
        request: Request<v1::PauseDeploymentRequest>,
    ) -> Result<Response<v1::PauseDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        rollout::pause(&scope, &message).await.map(Response::new)
    }

    async fn resume_deployment(
        &self,
        request: Request<v1::ResumeDeploymentRequest>,
    ) -> Result<Response<v1::ResumeDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        rollout::resume(&scope, &message).await.map(Response::new)
    }

    async fn restart_deployment(
        &self,
        request: Request<v1::RestartDeploymentRequest>,
    ) -> Result<Response<v1::RestartDeploymentResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        replicas::restart(&scope, &message).await.map(Response::new)
    }

    async fn drain_route(
        &self,
        request: Request<v1::DrainRouteRequest>,
    ) -> Result<Response<v1::DrainRouteResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        replicas::drain_route(&scope, &message)
            .await
            .map(Response::new)
    }

    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        lists::routes(&scope, &message).await.map(Response::new)
    }

    async fn list_history(
        &self,
        request: Request<v1::ListHistoryRequest>,
    ) -> Result<Response<v1::ListHistoryResponse>, Status> {
        let (scope, message) = self.0.open(request)?;
        lists::history(&scope, &message).await.map(Response::new)
    }

    type WatchDeploymentsStream = watch::EventStream;

    async fn watch_deployments(
        &self,
        request: Request<v1::WatchDeploymentsRequest>,
    ) -> Result<Response<watch::EventStream>, Status> {
        let (scope, message) = self.0.open(request)?;
        watch::watch(&scope, &message).await.map(Response::new)
    }
}
