//! Silence: the time of the last report is written down, and a health that was not
//! reported for too long no longer counts.

use std::{collections::BTreeSet, time::Duration};

use viridian_strategy::{DeploymentId, RouteHealth, RouteId, RouteStatus, Timestamp};

use super::{
    Report, apply_reports,
    reports::{ReportError, ReportTerms},
};
use crate::{
    Store,
    error::StoreError,
    last_reports::{RouteSelection, note_reports},
    last_seen::LastSeen,
    record::{LastReport, Route},
    telemetry::InUnit as _,
    transaction::UnitTransaction,
};

/// What came of a search for routes whose health is no longer reported.
#[derive(Debug, Default)]
pub struct Silenced {
    /// The routes that are NOT_CHECKED now.
    pub routes: Vec<RouteId>,
    /// Deployments whose routes could not be changed.
    pub failed: Vec<(DeploymentId, StoreError)>,
}

/// That the health of a route is no longer reported.
struct Silence(RouteId);

/// Some routes, with their deployments.
type Silent = Vec<(RouteId, DeploymentId)>;

impl Store {
    /// Writes down the times of the reports to this process.
    ///
    /// # Errors
    ///
    /// When the database fails. Then they are written down the next time.
    pub async fn flush_last_reports(&self) -> Result<(), StoreError> {
        let flush = self.last_seen().begin_flush();
        self.note_reports(flush.reports(self.now().await?)).await?;
        self.last_seen().end_flush(&flush);
        Ok(())
    }

    /// When a route was last reported to this process, if that is not written down yet.
    pub fn unwritten_report(&self, route: RouteId) -> Option<Timestamp> {
        self.last_seen().last(route)
    }

    /// Writes down when something was last reported of routes; of each only once.
    /// Those that are over or unknown are left out.
    ///
    /// # Errors
    ///
    /// When the database fails. Some may be written then; to write them again does
    /// no harm.
    pub async fn note_reports(&self, mut reports: Vec<LastReport>) -> Result<(), StoreError> {
        // Two servers that write down the same ones do so in one order.
        reports.sort_by_key(|report| report.route);
        for batch in reports.chunks(BATCH) {
            self.write(async |tx: &mut UnitTransaction| {
                let ids = batch.iter().map(|report| report.route).collect();
                let live = tx.connection().await?.list_live_routes(ids).await?;
                // The table refers to `routes`: one pruned route would make the whole statement
                // fail.
                let live: BTreeSet<_> = live.into_iter().collect();
                let mut known = batch.to_vec();
                known.retain(|report| live.contains(&report.route));
                tx.write([note_reports(&known)]);
                Ok::<_, StoreError>(())
            })
            .await?;
        }
        Ok(())
    }

    /// Has routes NOT_CHECKED that are RUNNING and HEALTHY, and of whose health
    /// nothing was reported for this long, as far as that is written down. What
    /// someone holds is left for the next time.
    ///
    /// # Errors
    ///
    /// When the database fails. Some may be changed then.
    pub async fn end_silent_health(&self, silence: Duration) -> Result<Silenced, StoreError> {
        self.expect_steady_clock().await?;
        let since = self.now().await? - silence;
        let (mut all, mut after) = (Silenced::default(), None);
        loop {
            let among = RouteSelection::All {
                after,
                limit: BATCH as i64,
            };
            let mut reader = self.reader().await?;
            let silent = reader.list_silent_routes(since, among).await?;
            // Before the transaction: callers that hold a connection while they wait for a second
            // one could wait for each other.
            drop(reader);
            let Some(&(last, _)) = silent.last() else {
                return Ok(all);
            };
            // By id, since those that are skipped now would be found again in each round.
            after = Some(last);
            let silenced = match self.silence(since, &silent).await {
                // One of them is at fault: alone it fails alone.
                Err(error) if error.is_of_rows() => self.silence_alone(since, silent).await?,
                silenced => silenced?,
            };
            all.routes.extend(silenced.routes);
            all.failed.extend(silenced.failed);
        }
    }

    /// In one transaction, in which it is asked once more.
    pub(crate) async fn silence(
        &self,
        since: Timestamp,
        silent: &Silent,
    ) -> Result<Silenced, StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            let owners: BTreeSet<_> = silent.iter().map(|(_, of)| *of).collect();
            let mut all = Silenced::default();
            let held = tx.lock_available(owners.into_iter().collect()).await?;
            let ids = silent.iter().map(|(route, _)| *route).collect();
            let connection = tx.connection().await?;
            let still = connection
                .list_silent_routes(since, RouteSelection::These(ids))
                .await?;
            let mut changes = Vec::new();
            for (id, held) in held {
                let held = match held {
                    Ok(held) => held,
                    Err(error) => {
                        all.failed.push((id, error));
                        continue;
                    }
                };
                let its = still.iter().filter(|(_, of)| *of == id);
                let its: Vec<_> = its.map(|(route, _)| Silence(*route)).collect();
                let terms = ReportTerms::at(held.now, held.health_ttl);
                let (_, change) = apply_reports(tx, held, its.iter(), &terms).await?;
                if let Some(change) = change {
                    let changed = change.routes.reported.iter();
                    all.routes.extend(changed.map(|route| route.view.id));
                    changes.push(change);
                }
            }
            let now = tx.now().await?;
            tx.carry_out_all(changes, now);
            Ok(all)
        })
        .in_unit("silence", None)
        .await
    }

    /// Each deployment in a transaction of its own.
    async fn silence_alone(
        &self,
        since: Timestamp,
        silent: Silent,
    ) -> Result<Silenced, StoreError> {
        let mut all = Silenced::default();
        let owners: BTreeSet<_> = silent.iter().map(|(_, of)| *of).collect();
        for owner in owners {
            let its = silent.iter().filter(|(_, of)| *of == owner);
            match self.silence(since, &its.copied().collect()).await {
                Ok(silenced) => {
                    all.routes.extend(silenced.routes);
                    all.failed.extend(silenced.failed);
                }
                Err(error) if error.is_of_rows() => all.failed.push((owner, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

impl Report for Silence {
    fn route(&self) -> RouteId {
        self.0
    }

    /// Silence says nothing but of a health that is believed to be good.
    fn is_noop(&self, route: &Route, _: &ReportTerms) -> bool {
        let view = &route.view;
        view.status != RouteStatus::Running || view.health != RouteHealth::Healthy
    }

    fn check(&self, _: &Route, _: &ReportTerms) -> Result<(), ReportError> {
        Ok(())
    }

    fn apply(&self, route: &mut Route, now: Timestamp) {
        route.view.forget_health(now);
        route.health_detail = match route.view.health_observed_at {
            Some(at) => format!("not reported since {}", at.date_and_time()),
            None => "not reported".to_owned(),
        };
    }

    /// Nothing was reported.
    fn record(&self, _: &LastSeen, _: Timestamp) {}
}

/// How many routes a transaction is about.
const BATCH: usize = 500;
