//! What came before: the revisions that served, and how the last rollout came out.

use crate::{RevisionId, RolloutEnd, RolloutKind, RolloutOutcome};

/// How many revisions are remembered. An older one is named by its number.
pub const MAX_SERVED: usize = 10;

/// The revisions that served before the current one, oldest first: a stack, and where
/// roll-backs lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedRevisions(Vec<RevisionId>);

/// What a transition makes of the revisions that served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServedChange {
    /// Nothing.
    #[default]
    Same,
    /// This one served, and another one does from now on.
    Push(RevisionId),
    /// This one serves again: it is popped, and so is what served after it.
    BackTo(RevisionId),
}

/// What came before, as a roll-back without a named revision reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PastRollouts {
    /// The revisions that served.
    pub served: ServedRevisions,
    /// How the last rollout came out.
    pub last: Option<RolloutEnd>,
}

impl ServedChange {
    /// What a switch from one revision to another makes of them.
    pub(crate) fn of_switch(kind: RolloutKind, from: RevisionId, to: RevisionId) -> Self {
        match kind {
            RolloutKind::Forward => Self::Push(from),
            RolloutKind::Back { .. } => Self::BackTo(to),
        }
    }
}

impl ServedRevisions {
    /// The revision that served before the current one.
    pub fn last(&self) -> Option<RevisionId> {
        self.0.last().copied()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = RevisionId> {
        self.0.iter().copied()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Applies a change.
    pub fn change(&mut self, change: ServedChange) {
        match change {
            ServedChange::Same => {}
            ServedChange::Push(revision) => self.push(revision),
            ServedChange::BackTo(revision) => self.back_to(revision),
        }
    }

    /// Removes revisions that no longer exist.
    pub fn remove(&mut self, gone: &[RevisionId]) {
        let left = std::mem::take(&mut self.0);
        let left = left.into_iter().filter(|revision| !gone.contains(revision));
        *self = left.collect();
    }

    fn push(&mut self, revision: RevisionId) {
        // Once is enough: a roll-back to the revision that serves would change nothing.
        if self.last() == Some(revision) {
            return;
        }
        if self.0.len() == MAX_SERVED {
            self.0.remove(0);
        }
        self.0.push(revision);
    }

    /// A revision that never served, or that is no longer in it, leaves the stack as it is: what
    /// was just left must not be where the next roll-back leads.
    fn back_to(&mut self, revision: RevisionId) {
        if let Some(place) = self.0.iter().rposition(|served| *served == revision) {
            self.0.truncate(place);
        }
    }
}

impl FromIterator<RevisionId> for ServedRevisions {
    fn from_iter<I: IntoIterator<Item = RevisionId>>(revisions: I) -> Self {
        let mut served = Self::default();
        revisions.into_iter().for_each(|it| served.push(it));
        served
    }
}

impl PastRollouts {
    /// The revision whose rollout was given up, if that was the last thing that happened:
    /// then what serves is what was good.
    pub(crate) fn left(&self) -> Option<RevisionId> {
        let given_up = self.last.filter(|last| {
            // A way back that failed says the contrary: what serves was to be left.
            !last.is_way_back
                && matches!(
                    last.outcome,
                    RolloutOutcome::RolledBack | RolloutOutcome::Aborted
                )
        });
        given_up.map(|last| last.revision)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn revision(number: u128) -> RevisionId {
        RevisionId(Uuid::from_u128(number))
    }

    fn served(numbers: &[u128]) -> ServedRevisions {
        numbers.iter().copied().map(revision).collect()
    }

    #[test]
    fn b2_a_roll_back_leads_further_back_and_never_forward() {
        let push = |number| ServedChange::Push(revision(number));
        let back_to = |number| ServedChange::BackTo(revision(number));
        let rows: [(&str, &[u128], ServedChange, &[u128]); 9] = [
            ("a step", &[1], ServedChange::Same, &[1]),
            ("the first promotion", &[], push(1), &[1]),
            ("a promotion", &[1], push(2), &[1, 2]),
            ("one that served before", &[1, 2], push(1), &[1, 2, 1]),
            ("the same again", &[1, 2], push(2), &[1, 2]),
            ("a roll-back", &[1, 2], back_to(2), &[1]),
            ("further than one", &[1, 2, 3], back_to(1), &[]),
            ("to its last time", &[1, 2, 1, 3], back_to(1), &[1, 2]),
            ("to one that never served", &[1, 2], back_to(9), &[1, 2]),
        ];
        for (name, before, change, after) in rows {
            let mut stack = served(before);
            stack.change(change);
            assert_eq!(stack, served(after), "{name}");
        }
    }

    #[test]
    fn b2_the_stack_is_bounded_and_loses_what_is_pruned() {
        let many: Vec<u128> = (1..=25).collect();
        let stack = served(&many);
        assert_eq!(stack, served(&many[15..]), "the newest ones stay");
        assert_eq!(stack.last(), Some(revision(25)));
        let mut stack = served(&[1, 2, 1, 3]);
        stack.remove(&[revision(2), revision(3), revision(9)]);
        assert_eq!(stack, served(&[1]), "and none of them twice in a row");
        stack.remove(&[revision(1)]);
        assert!(stack.is_empty());
        assert_eq!(stack.last(), None);
    }
}
