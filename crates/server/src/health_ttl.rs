//! Silence: remembers when something was last reported of each route, writes it
//! down now and then, and has a health no longer believed of which nobody has
//! spoken for too long.
//!
//! What another server hears is known by what it has written down. So a health is
//! given up only once it is older than the configured time *and* the time between
//! two writings: what any server last_seen within that is in the database by then. A
//! server that could not write, or has only just started, begins to count anew.

mod last_seen;

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use viridian_store::{Database, Silenced, StoreError};

pub(crate) use self::last_seen::LastSeen;
use crate::metrics::HEALTH_SILENCED;

/// Writes down what was last_seen until it is told to stop, and once more then. If
/// there is a longest health_ttl, it sees to that too.
pub(crate) async fn run(
    database: Database,
    last_seen: Arc<LastSeen>,
    longest: Option<Duration>,
    stop: CancellationToken,
) {
    let interval = longest.map_or(INTERVAL, |longest| (longest / 4).min(INTERVAL));
    let mut keeper = HealthTtlTask {
        database,
        last_seen,
        longest,
        interval,
        listening: Instant::now(),
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep(interval) => {}
        }
        if let Err(error) = keeper.look().await {
            tracing::warn!(%error, "when routes were last reported on could not be written down");
            keeper.listening = Instant::now();
        }
    }
    if let Err(error) = keeper.write_down().await {
        tracing::warn!(%error, "when routes were last reported on was not written down at the end");
    }
}

struct HealthTtlTask {
    database: Database,
    last_seen: Arc<LastSeen>,
    longest: Option<Duration>,
    interval: Duration,
    /// Since when nothing that it last_seen was lost.
    listening: Instant,
}

impl HealthTtlTask {
    async fn look(&mut self) -> Result<(), StoreError> {
        self.write_down().await?;
        let Some(longest) = self.longest else {
            return Ok(());
        };
        let patience = longest + self.interval;
        if self.listening.elapsed() < patience {
            return Ok(());
        }
        let Silenced { routes, failed } = self.database.end_silent_health(patience).await?;
        if !routes.is_empty() {
            let count = routes.len();
            counter!(HEALTH_SILENCED).increment(count as u64);
            tracing::warn!(
                routes = count,
                "nobody speaks of the health of some routes: they are NOT_CHECKED"
            );
        }
        for (deployment, error) in failed {
            tracing::warn!(%deployment, %error, "the health of its routes could not be given up");
        }
        Ok(())
    }

    async fn write_down(&self) -> Result<(), StoreError> {
        let noted = self.last_seen.noted();
        self.database.note_reports(noted.reports()).await?;
        self.last_seen.forget(&noted);
        Ok(())
    }
}

/// How often it is written down at least.
const INTERVAL: Duration = Duration::from_secs(60);
