//! Gauges that are queried at a scrape.

use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::{sync::Mutex, time::timeout};
use viridian_feeds::Feeds;
use viridian_store::{Backlog, CountBy, Store, StoreError, labels_projects};

use super::{
    CONNECTIONS_IN_USE, CONNECTIONS_LIMIT, DATABASE_UP, DUE, DUE_LAG, EVENTS_BEHIND, WATCHES,
    WATCHES_BEHIND, census::CensusGauges, usage::UsageGauges,
};

/// Queries the gauges, and the expensive ones not at each scrape.
pub(crate) struct ScrapeGauges {
    database: Store,
    feeds: Feeds,
    counted: Mutex<CensusAge>,
}

/// When deployments were counted last, and how long that took.
#[derive(Default)]
struct CensusAge {
    at: Option<Instant>,
    took: Duration,
    gauges: CensusGauges,
    usage: UsageGauges,
}

impl ScrapeGauges {
    pub(crate) fn new(database: Store, feeds: Feeds) -> Self {
        Self {
            database,
            feeds,
            counted: Mutex::default(),
        }
    }

    /// Queries all gauges. If the database does not answer in time, its gauges keep their
    /// values and it counts as down.
    pub(super) async fn refresh(&self) {
        let (in_use, most) = self.database.connections_in_use();
        gauge!(CONNECTIONS_IN_USE).set(in_use as f64);
        gauge!(CONNECTIONS_LIMIT).set(most as f64);
        let lag = self.feeds.events().lag();
        gauge!(WATCHES).set(lag.watches as f64);
        gauge!(WATCHES_BEHIND).set(lag.overflowed as f64);
        gauge!(EVENTS_BEHIND).set(lag.max_events as f64);
        // Without the timeout a scrape would hang with the database, and Prometheus would
        // report the server as down.
        let queried = timeout(SCRAPE_TIMEOUT, self.query()).await;
        let up = match queried {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the database does not say what is due");
                false
            }
            Err(_) => false,
        };
        gauge!(DATABASE_UP).set(f64::from(up));
    }

    async fn query(&self) -> Result<(), StoreError> {
        // One scrape after the other, or each would count all deployments.
        let mut counted = self.counted.lock().await;
        let Backlog { due, overdue } = self.database.backlog().await?;
        gauge!(DUE).set(due as f64);
        gauge!(DUE_LAG).set(overdue.as_secs_f64());
        if counted.is_fresh() {
            return Ok(());
        }
        // Timed, so that the next count comes only after a hundred times as long.
        let begun = Instant::now();
        let by = match labels_projects() {
            true => CountBy::Project,
            false => CountBy::All,
        };
        let census = self.database.census(by).await?;
        let usage = self
            .database
            .reader()
            .await?
            .list_usage(MAX_PROJECTS)
            .await?;
        counted.at = Some(Instant::now());
        counted.took = begun.elapsed();
        counted.gauges.show(&census);
        counted.usage.show(&usage, self.database.quotas());
        Ok(())
    }
}

impl CensusAge {
    /// Whether it is too early to count again. Counting reads all deployments, and may take
    /// 1 % of the time.
    fn is_fresh(&self) -> bool {
        let rest = (self.took * 100).max(MIN_CENSUS_INTERVAL);
        self.at.is_some_and(|at| at.elapsed() < rest)
    }
}

/// Prometheus gives up after ten seconds by default.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
/// More than have series: some of them have no quota.
const MAX_PROJECTS: i64 = 10_000;
const MIN_CENSUS_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_takes_a_hundredth_of_the_time_at_most() {
        let ago = |ago, took| CensusAge {
            at: Instant::now().checked_sub(ago),
            took,
            gauges: CensusGauges::default(),
            usage: UsageGauges::default(),
        };
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert!(!CensusAge::default().is_fresh(), "never");
        assert!(ago(Duration::ZERO, Duration::ZERO).is_fresh());
        assert!(!ago(second, Duration::from_millis(1)).is_fresh());
        assert!(ago(minute, second).is_fresh());
        assert!(!ago(minute * 2, second).is_fresh());
    }
}
