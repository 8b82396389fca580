use tonic::Status;
use viridian_proto::v1::{
    AbortDeploymentRequest, DeleteDeploymentRequest, Deployment, GetRevisionRequest, HistoryEntry,
    ListHistoryRequest, ListHistoryResponse, ListRevisionsRequest, ListRevisionsResponse,
    PauseDeploymentRequest, ResumeDeploymentRequest, Revision, RollbackDeploymentRequest,
    RollbackDeploymentResponse, UpdateDeploymentRequest,
};

use super::{Api, api::timed};

/// What an operator does besides creating, activating and promoting.
impl Api {
    pub(crate) async fn update(
        &self,
        request: UpdateDeploymentRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().update_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn delete(
        &self,
        request: DeleteDeploymentRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().delete_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn abort(
        &self,
        request: AbortDeploymentRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().abort_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn roll_back(
        &self,
        request: RollbackDeploymentRequest,
    ) -> Result<RollbackDeploymentResponse, Status> {
        let mut client = self.deployments();
        let reply = client.rollback_deployment(timed(request)).await?;
        Ok(reply.into_inner())
    }

    pub(crate) async fn pause(
        &self,
        request: PauseDeploymentRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().pause_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn resume(
        &self,
        request: ResumeDeploymentRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().resume_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn revision(
        &self,
        reference: &str,
        revision: &str,
    ) -> Result<Revision, Status> {
        let request = GetRevisionRequest {
            deployment: reference.to_owned(),
            revision: revision.to_owned(),
        };
        let reply = self.deployments().get_revision(timed(request)).await?;
        Ok(reply.into_inner().revision.expect("a revision"))
    }

    pub(crate) async fn revisions(
        &self,
        request: ListRevisionsRequest,
    ) -> Result<ListRevisionsResponse, Status> {
        let reply = self.deployments().list_revisions(timed(request)).await?;
        Ok(reply.into_inner())
    }

    pub(crate) async fn history_page(
        &self,
        request: ListHistoryRequest,
    ) -> Result<ListHistoryResponse, Status> {
        let reply = self.deployments().list_history(timed(request)).await?;
        Ok(reply.into_inner())
    }

    /// All that happened, newest first.
    pub(crate) async fn history(&self, reference: &str) -> Vec<HistoryEntry> {
        let request = ListHistoryRequest {
            deployment: reference.to_owned(),
            page_size: 500,
            ..ListHistoryRequest::default()
        };
        let page = self.history_page(request).await.expect("it can be listed");
        assert_eq!(page.next_page_token, "", "it fits on one page");
        page.entries
    }
}
