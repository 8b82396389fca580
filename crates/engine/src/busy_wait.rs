//! Waiting while another program has the lock of SQLite's file.

use std::time::Duration;

use diesel::{QueryResult, SqliteConnection, connection::SimpleConnection as _};
use tokio::time::{Instant, sleep_until};

use crate::error::EngineError;

/// The pauses between attempts to lock the file while another program has its lock.
///
/// SQLite itself would wait on the thread that asks, which may be one of the runtime's, and
/// could not be cancelled. So the writer never lets SQLite wait.
pub(crate) struct BusyWait {
    deadline: Instant,
    pause: Duration,
}

impl BusyWait {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            pause: MIN_PAUSE,
        }
    }

    /// Waits for the next attempt. The last attempt is at the deadline.
    pub(crate) async fn pause(&mut self) -> Result<(), EngineError> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(EngineError::LockTimeout);
        }
        sleep_until(self.deadline.min(now + self.pause)).await;
        self.pause = MAX_PAUSE.min(self.pause * 2);
        Ok(())
    }
}

/// Makes SQLite fail at once, instead of waiting, while another program has the lock.
pub(crate) fn fail_when_busy(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA busy_timeout = 0")
}

/// As short as tokio can wait.
const MIN_PAUSE: Duration = Duration::from_millis(1);
// The longest time for which a unit still waits when the file is free again.
const MAX_PAUSE: Duration = Duration::from_millis(25);
