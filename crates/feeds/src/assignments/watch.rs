//! A watch of assignments: the open ones, then every new one.

use std::sync::Arc;

use viridian_store::Assignment;

use super::hub::GroupSubscription;

/// A watch that is under way.
pub struct GroupWatch {
    subscription: GroupSubscription,
}

impl GroupWatch {
    pub(super) fn begin(subscription: GroupSubscription) -> Self {
        Self { subscription }
    }

    /// Waits for assignments that are open and were not given yet, oldest first. There is
    /// always at least one, and there are few: what is closed before the next call is not
    /// given. One that was closed comes again if it is opened again. Cancel safe.
    pub async fn next(&mut self) -> Vec<Arc<Assignment>> {
        self.subscription.next().await
    }
}
