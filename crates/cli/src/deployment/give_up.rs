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
    !seen.deploying_revision_id.is_empty() && revision.is_none_or(|name| serves(seen, name))
}

/// Whether a revision, by its number or its UUID, is the current one.
pub(super) fn serves(seen: &Deployment, revision: &str) -> bool {
    let number = seen.current_revision_number.to_string();
    revision == seen.current_revision_id || revision == number
}

/// Whether a revision, by its number or its UUID, is on its way.
pub(super) fn deploys(seen: &Deployment, revision: &str) -> bool {
    let number = seen.deploying_revision_number.to_string();
    !seen.deploying_revision_id.is_empty()
        && (revision == seen.deploying_revision_id || revision == number)
}

/// Gives up the rollout that was seen, and no other.
pub(super) async fn run(
    client: &mut DeploymentClient,
    session: &CliSession,
    seen: Deployment,
    change: ChangeArgs,
    wait: &WaitArgs,
) -> Result<(), DeploymentError> {
    // Another revision may be on its way by now. A repeat with a request id must be the same
    // request, whatever was seen.
    let expected = match change.request_id.as_str() {
        "" => seen.deploying_revision_id,
        _ => String::new(),
    };
    let aborted = calls::abort(client, seen.id, expected, change).await?;
    let aborted = aborted.ok_or(DeploymentError::EmptyReply)?;
    let end = session
        .wait_if_asked(aborted, wait, &WaitGoal::Settled)
        .await?;
    show(client, session, &end.deployment, GAVE_UP).await?;
    session.check_end(client, end).await
}

/// Says what giving up the rollout that was seen would do.
pub(super) async fn preview(
    client: &mut DeploymentClient,
    session: &CliSession,
    seen: &Deployment,
) -> Result<(), DeploymentError> {
    show(client, session, seen, WOULD_GIVE_UP).await
}

/// The message of every roll-back. What serves has never lost its traffic.
async fn show(
    client: &mut DeploymentClient,
    session: &CliSession,
    deployment: &Deployment,
    headline: &str,
) -> Result<(), DeploymentError> {
    let reply = RollbackDeploymentResponse {
        deployment: Some(deployment.clone()),
        instant: true,
        revision_id: deployment.current_revision_id.clone(),
        revision_number: deployment.current_revision_number,
        ..RollbackDeploymentResponse::default()
    };
    let reply = DeploymentReply {
        message: "RollbackDeploymentResponse",
        reply: &reply,
        deployment,
        headline,
    };
    session.show_reply(client, &reply).await
}

const GAVE_UP: &str = "The rollout was given up: the current revision keeps serving.";
const WOULD_GIVE_UP: &str = "Would give up the rollout: the current revision keeps serving.";

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
