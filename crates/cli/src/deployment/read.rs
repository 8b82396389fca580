//! Reads that several commands make.

use tonic::{Response, Status};
use viridian_client::{AuthChannel, unary};
use viridian_proto::v1::{
    Deployment, GetDeploymentRequest, GetRevisionRequest, HistoryEntry, ListDeploymentsRequest,
    ListHistoryRequest, ListRevisionsRequest, ListRoutesRequest, Revision, Route,
    deployment_service_client::DeploymentServiceClient,
};

use super::{DeploymentError, show::RevisionNames};

/// The client of all commands.
pub(crate) type DeploymentClient = DeploymentServiceClient<AuthChannel>;

/// One deployment.
pub(crate) async fn deployment(
    client: &mut DeploymentClient,
    reference: &str,
) -> Result<Deployment, DeploymentError> {
    let request = GetDeploymentRequest {
        deployment: reference.to_owned(),
    };
    let reply = read(client.get_deployment(request)).await?;
    reply.deployment.ok_or(DeploymentError::EmptyReply)
}

/// All deployments that match the request, oldest first.
pub(crate) async fn deployments(
    client: &mut DeploymentClient,
    request: ListDeploymentsRequest,
) -> Result<Vec<Deployment>, DeploymentError> {
    every_page(async |page_token| {
        let request = ListDeploymentsRequest {
            page_size: MAX_PAGE_SIZE,
            page_token,
            ..request.clone()
        };
        let page = read(client.list_deployments(request)).await?;
        Ok((page.deployments, page.next_page_token))
    })
    .await
}

/// All revisions, newest first.
pub(super) async fn revisions(
    client: &mut DeploymentClient,
    reference: &str,
) -> Result<Vec<Revision>, DeploymentError> {
    every_page(async |page_token| {
        let request = ListRevisionsRequest {
            deployment: reference.to_owned(),
            page_size: MAX_PAGE_SIZE,
            page_token,
        };
        let page = read(client.list_revisions(request)).await?;
        Ok((page.revisions, page.next_page_token))
    })
    .await
}

/// One revision.
pub(super) async fn revision(
    client: &mut DeploymentClient,
    deployment: &str,
    revision: &str,
) -> Result<Revision, DeploymentError> {
    let request = GetRevisionRequest {
        deployment: deployment.to_owned(),
        revision: revision.to_owned(),
    };
    let reply = read(client.get_revision(request)).await?;
    reply.revision.ok_or(DeploymentError::EmptyReply)
}

/// The revisions by their ids, for output.
pub(super) async fn revision_names(
    client: &mut DeploymentClient,
    reference: &str,
) -> Result<RevisionNames, DeploymentError> {
    Ok(RevisionNames::new(&revisions(client, reference).await?))
}

/// All routes that match the request, oldest first.
pub(super) async fn routes(
    client: &mut DeploymentClient,
    request: ListRoutesRequest,
) -> Result<Vec<Route>, DeploymentError> {
    every_page(async |page_token| {
        let request = ListRoutesRequest {
            page_size: MAX_PAGE_SIZE,
            page_token,
            ..request.clone()
        };
        let page = read(client.list_routes(request)).await?;
        Ok((page.routes, page.next_page_token))
    })
    .await
}

/// The newest entries of the history, newest first.
pub(super) async fn history(
    client: &mut DeploymentClient,
    reference: &str,
    count: i32,
) -> Result<Vec<HistoryEntry>, DeploymentError> {
    let request = ListHistoryRequest {
        deployment: reference.to_owned(),
        page_size: count,
        ..ListHistoryRequest::default()
    };
    Ok(read(client.list_history(request)).await?.entries)
}

/// The reply of a call that only reads.
pub(super) async fn read<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, DeploymentError> {
    unary(call).await.map_err(DeploymentError::Read)
}

/// The items of all pages. `page` reads the page of a token, and returns the next token.
async fn every_page<T>(
    mut page: impl AsyncFnMut(String) -> Result<(Vec<T>, String), DeploymentError>,
) -> Result<Vec<T>, DeploymentError> {
    // Pages are read one after the other, since each token comes with the page before.
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let (items, next) = page(token).await?;
        all.extend(items);
        if next.is_empty() {
            return Ok(all);
        }
        token = next;
    }
}

/// A page of deployments with many labels still fits into a gRPC message of 4 MiB.
pub(super) const MAX_PAGE_SIZE: i32 = 200;
