//! Silence: remembers when something was last reported of each route, writes it
//! down now and then, and has a health no longer believed of which nobody has
//! spoken for too long.
//!
//! What another server hears is known by what it has written down. So a health is
//! given up only once it is older than the configured time *and* the time between
//! two writings: what any server heard within that is in the database by then. A
//! server that could not write, or has only just started, begins to count anew.

mod heard;

use std::{sync::Arc, time::Duration};

use metrics::counter;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use viridian_store::{Database, Silenced, StoreError};

pub(crate) use self::heard::Heard;
use crate::metrics::HEALTH_SILENCED;

/// Writes down what was heard until it is told to stop, and once more then. If
/// there is a longest silence, it sees to that too.
pub(crate) async fn run(
    database: Database,
    heard: Arc<Heard>,
    longest: Option<Duration>,
    stop: CancellationToken,
) {
    let interval = longest.map_or(INTERVAL, |longest| (longest / 4).min(INTERVAL));
    let mut keeper = Keeper {
        database,
        heard,
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

struct Keeper {
    database: Database,
    heard: Arc<Heard>,
    longest: Option<Duration>,
    interval: Duration,
    /// Since when nothing that it heard was lost.
    listening: Instant,
}

impl Keeper {
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
        let noted = self.heard.noted();
        self.database.note_reports(noted.reports()).await?;
        self.heard.forget(&noted);
        Ok(())
    }
}

/// How often it is written down at least.
const INTERVAL: Duration = Duration::from_secs(60);
