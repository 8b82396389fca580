//! The database's time, for heartbeats.

use std::time::Duration;

use tokio::{sync::Mutex, time::Instant};
use viridian_store::{Store, StoreError};
use viridian_strategy::Timestamp;

/// The time of the database, read at most once an interval for all streams. So a
/// heartbeat also says that the database answered not long ago.
pub struct CachedClock {
    store: Store,
    reading: Mutex<Option<ClockReading>>,
}

#[derive(Clone, Copy)]
struct ClockReading {
    at: Instant,
    /// None when the database did not answer.
    time: Option<Timestamp>,
}

impl CachedClock {
    pub(crate) fn new(store: Store) -> Self {
        Self {
            store,
            reading: Mutex::new(None),
        }
    }

    /// Returns the time.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or did not a moment ago.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        // Held across the query on purpose: of all streams that ask at once, one
        // reads and the others wait for its reading.
        let mut reading = self.reading.lock().await;
        if let Some(ClockReading { at, time }) = *reading {
            match time {
                // Carried on by the monotonic clock, which drifts
                // too little in that time to matter.
                Some(time) if at.elapsed() < MAX_AGE => return Ok(time + at.elapsed()),
                None if at.elapsed() < RETRY_INTERVAL => {
                    return Err(StoreError::Unavailable(
                        "it did not answer with a time".into(),
                    ));
                }
                _ => {}
            }
        }
        let time = self.store.now().await;
        *reading = Some(ClockReading {
            at: Instant::now(),
            time: time.as_ref().ok().copied(),
        });
        time
    }
}

/// As long as from one heartbeat of a stream to the next.
const MAX_AGE: Duration = Duration::from_secs(15);

/// How long a database that did not answer counts as unavailable.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
