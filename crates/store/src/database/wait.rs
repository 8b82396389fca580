//! When a call began to wait: its waits overlap and do not add up.

use std::time::Duration;

use tokio::time::Instant;

/// The moment at which a call began to wait.
///
/// Each limit on a wait (for a connection, for SQLite's file, for a deployment's lock)
/// ends at a moment counted from here. So a call that is sent from one queue to the
/// next waits no longer than the largest of them. Past a limit a call still takes what
/// is free, and waits for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaitStart(Instant);

impl WaitStart {
    pub(crate) fn now() -> Self {
        Self(Instant::now())
    }

    /// Returns when a limit is over.
    pub(crate) fn deadline(self, limit: Duration) -> Instant {
        self.0 + limit
    }

    /// Returns what is left of a limit.
    pub(crate) fn left(self, limit: Duration) -> Duration {
        limit.saturating_sub(self.0.elapsed())
    }

    /// Returns whether a limit is over.
    pub(crate) fn is_over(self, limit: Duration) -> bool {
        self.left(limit).is_zero()
    }
}
