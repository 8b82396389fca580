//! Gauges that are queried at a scrape.

use std::time::{Duration, Instant};

use metrics::gauge;
use tokio::{sync::Mutex, time::timeout};
use viridian_feeds::Feeds;
use viridian_store::{Backlog, StateCounts, Store, StoreError};
use viridian_strategy::{Lifecycle, SubStep, Timestamp};

use super::{
    CONNECTIONS_IN_USE, CONNECTIONS_LIMIT, DATABASE_UP, DEPLOYMENTS, DUE, DUE_LAG, EVENTS_BEHIND,
    OLDEST, OVERDUE, WATCHES, WATCHES_BEHIND,
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
        let (census, now) = self.database.census().await?;
        *counted = CensusAge {
            at: Some(Instant::now()),
            took: begun.elapsed(),
        };
        show(&census, now);
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

/// Sets the gauges of all steps. A step without deployments is set to 0.
fn show(census: &[StateCounts], now: Timestamp) {
    for (lifecycle, sub_step) in LIFECYCLE_STEPS {
        let here = |it: &&StateCounts| (it.lifecycle, it.sub_step) == (lifecycle, sub_step);
        let (lifecycle, sub_step) = (lifecycle.as_str(), sub_step.map_or("", SubStep::as_str));
        for paused in [false, true] {
            let count = census.iter().filter(here).find(|it| it.paused == paused);
            let labels = [
                ("lifecycle", lifecycle),
                ("sub_step", sub_step),
                ("paused", if paused { "true" } else { "false" }),
            ];
            gauge!(DEPLOYMENTS, &labels).set(count.map_or(0, |it| it.count) as f64);
        }
        // A paused deployment stands still on purpose.
        let moving = census.iter().filter(here).find(|it| !it.paused);
        let labels = [("lifecycle", lifecycle), ("sub_step", sub_step)];
        let oldest = moving.map_or(Duration::ZERO, |it| now.since(it.since));
        gauge!(OLDEST, &labels).set(oldest.as_secs_f64());
        let deadline = moving.and_then(|it| it.deadline);
        let overdue = deadline.map_or(Duration::ZERO, |at| now.since(at));
        gauge!(OVERDUE, &labels).set(overdue.as_secs_f64());
    }
}

const LIFECYCLE_STEPS: [(Lifecycle, Option<SubStep>); 6] = [
    (Lifecycle::Pending, None),
    (Lifecycle::Ready, None),
    (Lifecycle::Deploying, Some(SubStep::Provisioning)),
    (Lifecycle::Deploying, Some(SubStep::AwaitingPromotion)),
    (Lifecycle::Deploying, Some(SubStep::RollingBack)),
    (Lifecycle::Destroying, None),
];

/// Prometheus gives up after ten seconds by default.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(5);
const MIN_CENSUS_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_takes_a_hundredth_of_the_time_at_most() {
        let ago = |ago, took| CensusAge {
            at: Instant::now().checked_sub(ago),
            took,
        };
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        assert!(!CensusAge::default().is_fresh(), "never");
        assert!(ago(Duration::ZERO, Duration::ZERO).is_fresh());
        assert!(!ago(second, Duration::from_millis(1)).is_fresh());
        assert!(ago(minute, second).is_fresh());
        assert!(!ago(minute * 2, second).is_fresh());
    }
}
