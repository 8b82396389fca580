//! A roll-back during a rollout: the rollout is given up, and what serves keeps serving.

use viridian_proto::v1::{
    Deployment, DeploymentLifecycle, DeploymentSubStep, RollbackDeploymentResponse,
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

/// What a roll-back did or would do that gave the rollout up; None if it was another one.
/// `would` says that it was a rehearsal during a rollout.
pub(super) fn headline(reply: &RollbackDeploymentResponse, would: bool) -> Option<String> {
    let deployment = reply.deployment.as_ref();
    let sub_step = deployment.map(Deployment::sub_step);
    // An instant one to what was retained has routes. What serves needs none.
    let gave_up = reply.instant || sub_step == Some(DeploymentSubStep::RollingBack);
    match reply.kept_route_ids.is_empty() {
        true if would => Some(WOULD_GIVE_UP.to_owned()),
        true if gave_up => Some(gave_up_headline(deployment)),
        _ => None,
    }
}

/// The rollout of a deployment, or of one that the reply left out, was given up.
pub(super) fn gave_up_headline(deployment: Option<&Deployment>) -> String {
    let what = deployment.and_then(back_at);
    let what = what
        .as_deref()
        .unwrap_or("the current revision keeps serving");
    format!("The rollout was given up: {what}.")
}

/// Where the traffic is after a rollout was given up. None while routes of the new revision
/// may still have some, as in a rolling update on its way back.
pub(super) fn back_at(deployment: &Deployment) -> Option<String> {
    let current = deployment.current_revision_number;
    let is_over = deployment.lifecycle() == DeploymentLifecycle::Ready && current > 0;
    is_over.then(|| format!("all traffic is back at revision {current}"))
}

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
