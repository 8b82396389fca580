//! The feed of events: what deployments were at each sequence.

mod event;
mod hub;
mod mailbox;
#[cfg(test)]
mod tests;
mod watch;

use std::sync::Arc;

use tokio::sync::Notify;
use viridian_store::Store;

pub(crate) use self::hub::EventHub;
pub use self::{
    event::CommittedEvent,
    mailbox::WatchLag,
    watch::{EventWatch, WatchCursor, WatchError, WatchTarget, WatchedEvent},
};
use crate::limits::WatchLimits;

/// Hands every event to the watches of its deployment and of its project. Cheap to
/// clone.
///
/// Numbers of the log are not handed out in the order of commits. So an event is
/// held back as long as a transaction that is still open could precede it.
#[derive(Clone)]
pub struct EventFeed {
    store: Store,
    limits: WatchLimits,
    hub: Arc<EventHub>,
}

impl EventFeed {
    pub(crate) fn new(store: Store, limits: WatchLimits, subscribed: Arc<Notify>) -> Self {
        Self {
            store,
            limits,
            hub: Arc::new(EventHub::new(limits.buffer, subscribed)),
        }
    }

    /// Watches a target: after a cursor, or from now on, and then how everything is
    /// now comes first.
    ///
    /// # Errors
    ///
    /// [`WatchError::UnknownPosition`] for a cursor of another database.
    pub async fn watch(
        &self,
        target: WatchTarget,
        after: Option<WatchCursor>,
    ) -> Result<EventWatch, WatchError> {
        EventWatch::begin(self.clone(), target, after).await
    }

    /// Returns how far the watches lag behind the log.
    pub fn lag(&self) -> WatchLag {
        self.hub.lag()
    }

    pub(crate) fn hub(&self) -> &EventHub {
        &self.hub
    }
}
