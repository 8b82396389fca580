//! What keys do, once someone has said yes. Each call is of the deployment as it
//! was seen, and of no other.

use viridian_client::unary;
use viridian_proto::v1::{
    AbortDeploymentRequest, Deployment, PauseDeploymentRequest, PromoteDeploymentRequest,
    ResumeDeploymentRequest, RollbackDeploymentRequest,
};

use super::model::{RolloutAction, RolloutVerb};
use crate::deployment::{DeploymentError, Session};

/// What came of a call: the deployment after it, and words for it.
pub(super) type ActionReply = (Option<Deployment>, String);

/// Makes the call.
pub(super) async fn act(
    session: &Session,
    action: RolloutAction,
) -> Result<ActionReply, DeploymentError> {
    let mut client = session.connect().await?;
    let RolloutAction {
        verb,
        deployment,
        generation,
        revision,
    } = action;
    let (expected_generation, reason) = (Some(generation), REASON.to_owned());
    let request_id = String::new();
    Ok(match verb {
        RolloutVerb::Promote => {
            let request = PromoteDeploymentRequest {
                deployment,
                expected_revision: revision,
                validate_only: false,
                request_id,
                // The revision says enough: a promotion is right whatever else changed.
                expected_generation: None,
                reason,
            };
            let reply = unary(client.promote_deployment(request)).await?;
            let (gained, lost) = (reply.promoted_route_ids, reply.drained_route_ids);
            let words = format!(
                "promoted: {} routes took the traffic, {} gave it up",
                gained.len(),
                lost.len()
            );
            (reply.deployment, words)
        }
        RolloutVerb::Abort => {
            let request = AbortDeploymentRequest {
                deployment,
                request_id,
                expected_generation,
                reason,
            };
            let reply = unary(client.abort_deployment(request)).await?;
            (
                reply.deployment,
                "aborted: it goes back to the current revision".to_owned(),
            )
        }
        RolloutVerb::Pause => {
            let request = PauseDeploymentRequest {
                deployment,
                request_id,
                expected_generation,
                reason,
            };
            let reply = unary(client.pause_deployment(request)).await?;
            (
                reply.deployment,
                "paused: nothing moves, and no clock runs".to_owned(),
            )
        }
        RolloutVerb::Resume => {
            let request = ResumeDeploymentRequest {
                deployment,
                request_id,
                expected_generation,
                reason,
            };
            let reply = unary(client.resume_deployment(request)).await?;
            (reply.deployment, "resumed: it goes on".to_owned())
        }
        RolloutVerb::RollBack => {
            let request = RollbackDeploymentRequest {
                deployment,
                revision: String::new(),
                request_id,
                expected_generation,
                reason,
            };
            let reply = unary(client.rollback_deployment(request)).await?;
            let words = match reply.instant {
                true => "rolled back: the traffic has switched",
                false => "the revision before is deployed again",
            };
            (reply.deployment, words.to_owned())
        }
    })
}

const REASON: &str = "by key, in a live watch";
