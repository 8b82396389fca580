//! Health TTL: writes down at intervals when each route was last reported, and ends a
//! health that was not reported again in time.
//!
//! A decision never rests on a health that is older than the TTL: the strategy sees to
//! that, also right after a start. What happens here is for everything else: the traffic
//! table, the counts, and their readers.
//!
//! A server knows of reports to other servers only by what those have written down. So a
//! health ends only once it is older than the TTL *and* the interval between two flushes:
//! whatever any server received by then is in the database. A server that could not
//! flush, or has just started, counts from the beginning.

use std::time::Duration;

use metrics::counter;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use viridian_store::{Silenced, Store, StoreError};

use crate::metrics::HEALTH_SILENCED;

/// Flushes at intervals, and once more at the end. Ends health past its TTL if there is one.
pub(crate) async fn run(database: Store, ttl: Option<Duration>, stop: CancellationToken) {
    // A health ends after the TTL and this interval: a
    // quarter keeps the delay small beside the TTL.
    let interval = ttl.map_or(MAX_FLUSH_INTERVAL, |ttl| (ttl / 4).min(MAX_FLUSH_INTERVAL));
    let mut task = HealthTtlTask {
        database,
        ttl,
        interval,
        complete_since: Instant::now(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(interval) => {}
        }
        if let Err(error) = task.run_once().await {
            tracing::warn!(%error, "when routes were last reported on could not be written down");
            // Reports of this time may be missing in the database: silence counts from here again.
            task.complete_since = Instant::now();
        }
    }
    // The last calls have reported since the last interval. Without this their times would be lost.
    if let Err(error) = task.flush().await {
        tracing::warn!(%error, "when routes were last reported on was not written down at the end");
    }
}

struct HealthTtlTask {
    database: Store,
    ttl: Option<Duration>,
    interval: Duration,
    /// Every report since then is written down, or still in memory.
    complete_since: Instant,
}

impl HealthTtlTask {
    async fn run_once(&mut self) -> Result<(), StoreError> {
        // First: silence is judged by what is in the database,
        // and reports to this server count too.
        self.flush().await?;
        let Some(ttl) = self.ttl else {
            return Ok(());
        };
        // Not the TTL alone: a report to another server may not be written down yet.
        let max_age = ttl + self.interval;
        if self.complete_since.elapsed() < max_age {
            return Ok(());
        }
        let Silenced { routes, failed } = self.database.end_silent_health(max_age).await?;
        if !routes.is_empty() {
            let count = routes.len();
            counter!(HEALTH_SILENCED).increment(count as u64);
            tracing::warn!(
                routes = count,
                "the health of some routes was not reported again in time: they are NOT_CHECKED"
            );
        }
        for (deployment, error) in failed {
            tracing::warn!(%deployment, %error, "the health of its routes could not be ended");
        }
        Ok(())
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.database.flush_last_reports().await
    }
}

const MAX_FLUSH_INTERVAL: Duration = Duration::from_secs(60);
