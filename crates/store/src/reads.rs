//! Reads that compare what is stored with the present time.

use std::time::Duration;

use viridian_strategy::Timestamp;

use crate::{CountBy, RouteStateCounts, StateCounts, Store, error::StoreError};

/// The deployments that are due and not yet reconciled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many deployments.
    pub due: i64,
    /// For how long the first of them has been due.
    pub overdue: Duration,
}

/// All deployments and routes, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// The deployments that are not DESTROYED, by state.
    pub deployments: Vec<StateCounts>,
    /// The deployments whose routes keep failing, by project if each is counted.
    pub backing_off: Vec<(String, i64)>,
    /// The deployments whose first revision did not come up in time, and has not come up
    /// since; by project if each is counted.
    pub first_failed: Vec<(String, i64)>,
    /// The deployments whose canary has less of the traffic than its step asks for; by project
    /// if each is counted.
    pub short_canaries: Vec<(String, i64)>,
    /// The routes that are not over, by status.
    pub routes: Vec<RouteStateCounts>,
    /// The time at which they were counted.
    pub at: Timestamp,
}

#[expect(
    clippy::missing_errors_doc,
    reason = "each fails only when the database does"
)]
impl Store {
    /// Returns the deployments that are due. Reads one row if there are none.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let mut reader = self.reader().await?;
        match reader.next_due(self.round_trip()).await? {
            (Some(at), now) if at <= now => Ok(Backlog {
                due: reader.count_due(now).await?,
                overdue: now.since(at),
            }),
            _ => Ok(Backlog::default()),
        }
    }

    /// Counts deployments and routes by state. Reads every one of them.
    pub async fn census(&self, by: CountBy) -> Result<Census, StoreError> {
        let round_trip = self.round_trip();
        let mut reader = self.reader().await?;
        let (deployments, at) = reader.count_deployments(round_trip, by).await?;
        let backing_off = reader.count_backing_off(by).await?;
        let first_failed = reader.count_first_failed(by).await?;
        let short_canaries = reader.count_short_canaries(by).await?;
        let routes = reader.count_routes(by).await?;
        Ok(Census {
            deployments,
            backing_off,
            first_failed,
            short_canaries,
            routes,
            at,
        })
    }
}
