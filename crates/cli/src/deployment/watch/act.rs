//! The calls of the live view's keys. Each call names the deployment and the revision
//! that the question named, so that nothing newer is changed by mistake.

use viridian_client::unary;
use viridian_proto::v1::{
    AdvanceDeploymentRequest, Deployment, PromoteDeploymentRequest, RollbackDeploymentRequest,
};

use super::model::{RolloutAction, RolloutVerb};
use crate::deployment::{
    CliSession, DeploymentError, calls, change::ChangeArgs, give_up, read::DeploymentClient,
};

/// The deployment after the call, and a message for the user.
pub(super) type ActionReply = (Option<Deployment>, String);

/// Makes the call of an action.
pub(super) async fn act(
    session: &CliSession,
    action: RolloutAction,
) -> Result<ActionReply, DeploymentError> {
    let mut client = session.connect().await?;
    let change = ChangeArgs {
        reason: REASON.to_owned(),
        request_id: String::new(),
        expected_generation: Some(action.generation),
    };
    let id = action.deployment;
    Ok(match action.verb {
        RolloutVerb::Promote => promote(&mut client, id, action.revision).await?,
        RolloutVerb::Advance => {
            let request = AdvanceDeploymentRequest {
                deployment: id,
                expected_revision: action.revision,
                expected_step: Some(action.step),
                reason: REASON.to_owned(),
                ..AdvanceDeploymentRequest::default()
            };
            let advanced = unary(client.advance_deployment(request)).await?.deployment;
            let message = format!("advanced: step {} is over", action.step);
            (advanced, message)
        }
        RolloutVerb::Abort => {
            let aborted = calls::abort(&mut client, id, String::new(), change).await?;
            let message = aborted.as_ref().and_then(give_up::back_at);
            let message = message.unwrap_or_else(|| "rolling back to the current revision".into());
            (aborted, format!("aborted: {message}"))
        }
        RolloutVerb::Pause => (
            calls::pause(&mut client, id, change).await?,
            "paused: the rollout and its deadlines stop".to_owned(),
        ),
        RolloutVerb::Resume => (
            calls::resume(&mut client, id, change).await?,
            "resumed: the rollout continues".to_owned(),
        ),
        RolloutVerb::RollBack => {
            let request = RollbackDeploymentRequest {
                deployment: id,
                ..RollbackDeploymentRequest::default()
            };
            let reply = calls::roll_back(&mut client, request, change).await?;
            let message = match reply.instant {
                true => "rolled back: the traffic has switched",
                false => "rolling back: the previous revision is being deployed",
            };
            (reply.deployment, message.to_owned())
        }
    })
}

async fn promote(
    client: &mut DeploymentClient,
    deployment: String,
    revision: String,
) -> Result<ActionReply, DeploymentError> {
    let request = PromoteDeploymentRequest {
        deployment,
        expected_revision: revision,
        // No expected generation: the revision is the one that the user confirmed, and a
        // change of, say, the labels since then is no reason to refuse.
        reason: REASON.to_owned(),
        ..PromoteDeploymentRequest::default()
    };
    let reply = unary(client.promote_deployment(request)).await?;
    let (gained, lost) = (reply.promoted_route_ids, reply.drained_route_ids);
    let message = format!(
        "promoted: {} routes gained traffic, {} lost it",
        gained.len(),
        lost.len()
    );
    Ok((reply.deployment, message))
}

/// The reason in the history.
const REASON: &str = "by key in the live view";
