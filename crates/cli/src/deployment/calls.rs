//! Calls that both a command and a key of the live view make.

use viridian_client::{CallError, unary};
use viridian_proto::v1::{
    AbortDeploymentRequest, Deployment, PauseDeploymentRequest, ResumeDeploymentRequest,
    RollbackDeploymentRequest, RollbackDeploymentResponse,
};

use super::{change::ChangeArgs, read::DeploymentClient};

/// Aborts the rollout of a deployment: that of this revision, or any if it is empty.
pub(super) async fn abort(
    client: &mut DeploymentClient,
    deployment: String,
    expected_revision: String,
    change: ChangeArgs,
) -> Result<Option<Deployment>, CallError> {
    let request = AbortDeploymentRequest {
        deployment,
        expected_revision,
        request_id: change.request_id,
        expected_generation: change.expected_generation,
        reason: change.reason,
    };
    Ok(unary(client.abort_deployment(request)).await?.deployment)
}

/// Pauses a deployment.
pub(super) async fn pause(
    client: &mut DeploymentClient,
    deployment: String,
    change: ChangeArgs,
) -> Result<Option<Deployment>, CallError> {
    let request = PauseDeploymentRequest {
        deployment,
        request_id: change.request_id,
        expected_generation: change.expected_generation,
        reason: change.reason,
    };
    Ok(unary(client.pause_deployment(request)).await?.deployment)
}

/// Ends the pause of a deployment.
pub(super) async fn resume(
    client: &mut DeploymentClient,
    deployment: String,
    change: ChangeArgs,
) -> Result<Option<Deployment>, CallError> {
    let request = ResumeDeploymentRequest {
        deployment,
        request_id: change.request_id,
        expected_generation: change.expected_generation,
        reason: change.reason,
    };
    Ok(unary(client.resume_deployment(request)).await?.deployment)
}

/// Rolls a deployment back as the request says, for the reason and under the conditions of
/// the change.
pub(super) async fn roll_back(
    client: &mut DeploymentClient,
    request: RollbackDeploymentRequest,
    change: ChangeArgs,
) -> Result<RollbackDeploymentResponse, CallError> {
    let request = RollbackDeploymentRequest {
        request_id: change.request_id,
        expected_generation: change.expected_generation,
        reason: change.reason,
        ..request
    };
    unary(client.rollback_deployment(request)).await
}
