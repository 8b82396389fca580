//! The moment at which a call began to wait. Its waits overlap instead of adding up.

use std::time::Duration;

use tokio::time::Instant;

/// When a call began to wait.
///
/// Every limit on a wait (for a connection, for SQLite's file, for a row's lock) ends at a
/// moment counted from here. So a call that moves from one queue to the next waits no
/// longer than its largest limit. Past a limit a call still takes what is free, and waits
/// for nothing.
#[derive(Clone, Copy, Debug)]
pub struct WaitStart(Instant);

impl WaitStart {
    /// Begins to wait.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Returns when a limit ends.
    pub fn deadline(self, limit: Duration) -> Instant {
        self.0 + limit
    }

    /// Returns what is left of a limit.
    pub fn left(self, limit: Duration) -> Duration {
        limit.saturating_sub(self.0.elapsed())
    }

    /// Returns whether a limit has ended.
    pub fn is_over(self, limit: Duration) -> bool {
        self.left(limit).is_zero()
    }
}
