//! A roll-back during a rollout: the rollout is given up, and what serves keeps serving.

use viridian_client::WaitGoal;
use viridian_proto::v1::{Deployment, RollbackDeploymentResponse};

use super::{
    CliSession, DeploymentError, calls, change::ChangeArgs, read::DeploymentClient,
    session::DeploymentReply, wait::WaitArgs,
};

/// Whether the way back to a revision is the end of the rollout: another revision is being
/// deployed, and this one serves. Without a name it is the one that serves.
pub(super) fn is_way_back(seen: &Deployment, revision: Option<&str>) -> bool {
    let number = seen.current_revision_number.to_string();
    let serves = |name: &str| name == seen.current_revision_id || name == number;
    !seen.deploying_revision_id.is_empty() && revision.is_none_or(serves)
}

/// Gives up the rollout that was seen, and no other.
pub(super) async fn run(
    client: &mut DeploymentClient,
    session: &CliSession,
    seen: Deployment,
    mut change: ChangeArgs,
    wait: &WaitArgs,
) -> Result<(), DeploymentError> {
    // Another revision may be on its way by now. A repeat with a request id must be the same
    // request, whatever was seen.
    if change.request_id.is_empty() {
        change.expected_generation.get_or_insert(seen.generation);
    }
    let aborted = calls::abort(client, seen.id, change).await?;
    let aborted = aborted.ok_or(DeploymentError::EmptyReply)?;
    let end = session
        .wait_if_asked(aborted, wait, &WaitGoal::Settled)
        .await?;
    // The message of every roll-back. What serves has never lost its traffic.
    let reply = RollbackDeploymentResponse {
        deployment: Some(end.deployment.clone()),
        instant: true,
    };
    let reply = DeploymentReply {
        message: "RollbackDeploymentResponse",
        reply: &reply,
        deployment: &end.deployment,
        headline: "The rollout was given up: the current revision keeps serving.",
    };
    session.show_reply(client, &reply).await?;
    session.check_end(client, end).await
}

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, is_way_back};

    #[test]
    fn b6_in_a_rollout_the_way_back_is_to_give_it_up() {
        let mut seen = fixture::at_the_gate();
        let current = seen.current_revision_id.clone();
        for revision in [None, Some("1"), Some(current.as_str())] {
            assert!(is_way_back(&seen, revision), "{revision:?}");
        }
        for revision in ["2", "7"] {
            assert!(!is_way_back(&seen, Some(revision)), "{revision}");
        }
        seen.deploying_revision_id.clear();
        assert!(!is_way_back(&seen, None), "there is no rollout");
    }
}
