//! The time that heartbeats tell.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};
use viridian_store::{Database, StoreError};
use viridian_strategy::Timestamp;

use super::HEARTBEAT;

/// The time of the database, asked for once an interval for all streams. So a
/// heartbeat also says that the database was there not long ago.
pub(crate) struct Clock {
    database: Database,
    read: Mutex<Option<Reading>>,
}

#[derive(Clone, Copy)]
struct Reading {
    at: Instant,
    /// None when the database did not answer.
    time: Option<Timestamp>,
}

impl Clock {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            read: Mutex::new(None),
        }
    }

    /// The time.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or did not a moment ago.
    pub(crate) async fn now(&self) -> Result<Timestamp, StoreError> {
        let mut read = self.read.lock().await;
        if let Some(Reading { at, time }) = *read {
            match time {
                Some(time) if at.elapsed() < HEARTBEAT => return Ok(time + at.elapsed()),
                None if at.elapsed() < AWAY => {
                    return Err(StoreError::Unavailable("it did not tell the time".into()));
                }
                _ => {}
            }
        }
        let time = self.database.now().await;
        *read = Some(Reading {
            at: Instant::now(),
            time: time.as_ref().ok().copied(),
        });
        time
    }
}

/// How long a database that did not answer is taken to be away.
const AWAY: Duration = Duration::from_secs(1);
