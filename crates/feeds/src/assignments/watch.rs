//! A watch of assignments: the open ones, then every new one.

use std::collections::HashSet;

use viridian_store::{Action, Assignment};
use viridian_strategy::RouteId;

use super::hub::GroupSubscription;

/// A watch that is under way.
pub struct GroupWatch {
    subscription: GroupSubscription,
    /// Those that were given and are still open. One that was closed comes again if it
    /// is opened again.
    given: HashSet<(RouteId, Action)>,
}

impl GroupWatch {
    pub(super) fn begin(subscription: GroupSubscription) -> Self {
        Self {
            subscription,
            given: HashSet::new(),
        }
    }

    /// Waits for assignments that are open and were not given yet. There is always at
    /// least one. Cancel safe.
    pub async fn next(&mut self) -> Vec<Assignment> {
        loop {
            let open = self.subscription.changed().await;
            let all = &open.assignments;
            let new = all.iter().filter(|it| !self.given.contains(&key(it)));
            let new: Vec<Assignment> = new.cloned().collect();
            self.given = all.iter().map(key).collect();
            if !new.is_empty() {
                return new;
            }
        }
    }
}

/// What identifies an assignment within its group.
fn key(assignment: &Assignment) -> (RouteId, Action) {
    (assignment.route.view.id, assignment.action)
}
