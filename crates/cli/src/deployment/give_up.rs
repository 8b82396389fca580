//! A roll-back during a rollout: the rollout is given up, and what serves keeps serving.

use viridian_proto::v1::{Deployment, DeploymentSubStep, RollbackDeploymentResponse};

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
pub(super) fn headline(reply: &RollbackDeploymentResponse, would: bool) -> Option<&'static str> {
    let sub_step = reply.deployment.as_ref().map(Deployment::sub_step);
    // An instant one to what was retained has routes. What serves needs none.
    let gave_up = reply.instant || sub_step == Some(DeploymentSubStep::RollingBack);
    match reply.kept_route_ids.is_empty() {
        true if would => Some(WOULD_GIVE_UP),
        true if gave_up => Some(GAVE_UP),
        _ => None,
    }
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
