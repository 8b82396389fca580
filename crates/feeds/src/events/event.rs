use std::sync::Arc;

use viridian_store::{Event, LogEntry};
use viridian_strategy::Lifecycle;

/// An event in its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct CommittedEvent {
    /// Its position in the log.
    pub position: i64,
    /// What happened, and the deployment at that sequence.
    pub event: Event,
}

impl CommittedEvent {
    /// Whether the deployment was destroyed by then.
    pub fn is_tombstone(&self) -> bool {
        self.event.deployment.state.lifecycle() == Lifecycle::Destroyed
    }

    /// Takes an event from the log. One that cannot be read is left out: it must not
    /// end all watches of its project, now and for ever.
    pub(crate) fn from_log(entry: LogEntry) -> Option<Arc<Self>> {
        let LogEntry {
            position, event, ..
        } = entry;
        let event = event.inspect_err(|error| {
            tracing::error!(%error, position, "an event is left out of watches");
        });
        let event = event.ok()?;
        Some(Arc::new(Self { position, event }))
    }
}
