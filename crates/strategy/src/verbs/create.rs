use crate::{Changes, RevisionId, State, Traffic, Transition};

/// A new deployment: with a revision its routes are created ACTIVE at once,
/// since there is no blue to switch from.
pub fn create(revision: Option<RevisionId>, target_replicas: u32) -> Transition {
    let mut changes = Changes::default();
    if let Some(revision) = revision {
        changes.create(revision, target_replicas, Traffic::Active);
    }
    Transition {
        changes,
        ..Transition::step(State::Pending { current: revision })
    }
}
