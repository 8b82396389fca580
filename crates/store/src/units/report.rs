//! Reports of schedulers and health checkers.
//!
//! A batch may be about many deployments. Those that are not locked are done
//! first, all in one transaction; the rest is done one by one, so that a deployment
//! that is locked or broken delays and fails only its own reports.

mod refusal;
mod reports;
mod silence;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use viridian_engine::WaitStart;
use viridian_strategy::{DeploymentId, RouteId, RouteStatus};

use self::reports::{Report, ReportTerms};
pub use self::{
    reports::{HealthReport, ReportError, StatusReport},
    silence::Silenced,
};
use crate::{
    Store,
    error::StoreError,
    record::Route,
    telemetry::InUnit as _,
    transaction::UnitTransaction,
    units::{
        RequestContext,
        change::{PlannedChange, ReportedChange, WriteSet},
        lock::Locked,
    },
};

type Results = Vec<Result<(), ReportError>>;

impl Store {
    /// Applies reports of status. Each stands alone: the results are in the
    /// order of the reports.
    ///
    /// # Errors
    ///
    /// When the database fails. Some may be applied then; to report them again
    /// does no harm.
    pub async fn report_statuses(
        &self,
        reports: Vec<StatusReport>,
    ) -> Result<Vec<Result<(), ReportError>>, StoreError> {
        self.report(reports).await
    }

    /// Applies reports of health, in the same way.
    ///
    /// # Errors
    ///
    /// When the database fails. Some may be applied then; to report them again
    /// does no harm.
    pub async fn report_health(
        &self,
        reports: Vec<HealthReport>,
    ) -> Result<Vec<Result<(), ReportError>>, StoreError> {
        self.report(reports).await
    }

    async fn report<R: Report>(&self, reports: Vec<R>) -> Result<Results, StoreError> {
        // One for all of them: several that are held are not waited for in series.
        let since = WaitStart::now();
        let ids = reports.iter().map(Report::route).collect();
        // Without a lock: most reports change nothing, and this read is all that they cost.
        let round_trip = self.round_trip();
        let mut reader = self.reader().await?;
        let (known, mut confirmed, now) = reader.find_reported_routes(round_trip, ids).await?;
        // Or a caller would hold it while it waits for another connection.
        drop(reader);
        for route in &known {
            let unwritten = self.last_seen().last_health(route.view.id);
            if let Some(at) = unwritten {
                let later = confirmed.get(&route.view.id).copied().max(Some(at));
                confirmed.extend(later.map(|at| (route.view.id, at)));
            }
        }
        let terms = ReportTerms::at(now, self.health_ttl()).with_confirmed(confirmed);
        let mut batch = Batch::of(reports, known, terms);
        // For one alone there is nothing to be gained by it.
        let applied = match batch.open.len() {
            0 | 1 => Ok(Vec::new()),
            _ => self.apply_available(&batch).await,
        };
        match applied {
            Ok(applied) => applied
                .into_iter()
                .for_each(|(of, results)| batch.settle(of, results)),
            // One of them is at fault: alone it fails alone.
            Err(error) if error.is_of_rows() => {}
            // A deadlock, or another program with SQLite's file. One by one, each waits for its
            // turn.
            Err(StoreError::LockTimeout) => {}
            Err(error) => return Err(error),
        }
        while let Some((&of, places)) = batch.open.first_key_value() {
            let all = |error| vec![Err(error); places.len()];
            let results = match self.apply_one(since, &batch, of).await {
                Ok(results) => results,
                Err(StoreError::LockTimeout) => all(ReportError::Held(of)),
                Err(StoreError::Corrupt { .. }) => all(ReportError::Unreadable(of)),
                Err(error) if error.is_of_rows() => all(ReportError::Unwritable(of)),
                // What was applied stays. A repeat of the whole batch is harmless, since those
                // reports no longer change anything.
                Err(error) => return Err(error),
            };
            batch.settle(of, results);
        }
        for (report, result) in batch.reports.iter().zip(&batch.results) {
            if result.is_ok() {
                report.record(self.last_seen(), now);
            }
        }
        Ok(batch.results)
    }

    /// Applies the reports on deployments that are not locked. Returns the results
    /// of each.
    async fn apply_available<R: Report>(
        &self,
        batch: &Batch<R>,
    ) -> Result<Vec<(DeploymentId, Results)>, StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            let (mut applied, mut changes) = (Vec::new(), Vec::new());
            let owners = batch.open.keys().copied().collect();
            for (of, held) in tx.lock_available(owners).await? {
                // A deployment that cannot be read fails when it is alone.
                let Ok(held) = held else { continue };
                let terms = batch.terms.as_of(held.now);
                let (results, change) = apply_reports(tx, held, batch.of_one(of), &terms).await?;
                applied.push((of, results));
                changes.extend(change);
            }
            let now = tx.now().await?;
            tx.carry_out_all(changes, now);
            Ok(applied)
        })
        .in_unit("report_many", None)
        .await
    }

    /// Applies what is reported of one deployment, and waits for it.
    async fn apply_one<R: Report>(
        &self,
        since: WaitStart,
        batch: &Batch<R>,
        of: DeploymentId,
    ) -> Result<Results, StoreError> {
        self.write_locked(since, [of], async |tx: &mut UnitTransaction| {
            let gone = StoreError::Corrupt {
                id: of,
                why: "it has routes and is not there",
            };
            let held = tx.lock(of).await?.ok_or(gone)?;
            let now = held.now;
            let terms = batch.terms.as_of(now);
            let (results, change) = apply_reports(tx, held, batch.of_one(of), &terms).await?;
            tx.carry_out_all(change.into_iter().collect(), now);
            Ok(results)
        })
        .in_unit("report", of)
        .await
    }
}

/// Reports, with what became of them.
struct Batch<R> {
    reports: Vec<R>,
    results: Results,
    /// What is still to be done: the places of the reports on each deployment.
    open: BTreeMap<DeploymentId, Vec<usize>>,
    terms: ReportTerms,
}

impl<R: Report> Batch<R> {
    /// Sorts reports out by what the routes were a moment ago: what changes
    /// nothing is not to be done, so that it takes no lock and writes nothing.
    fn of(reports: Vec<R>, known: Vec<Route>, terms: ReportTerms) -> Self {
        let known: HashMap<RouteId, Route> = known
            .into_iter()
            .map(|route| (route.view.id, route))
            .collect();
        let mut open: BTreeMap<DeploymentId, Vec<usize>> = BTreeMap::new();
        let mut changing = BTreeSet::new();
        let mut results = Vec::new();
        for (place, report) in reports.iter().enumerate() {
            let route = known.get(&report.route());
            results.push(match route {
                Some(_) => Ok(()),
                None => Err(ReportError::UnknownRoute(report.route())),
            });
            if let Some(route) = route {
                open.entry(route.deployment).or_default().push(place);
                if !report.is_noop(route, &terms) {
                    changing.insert(route.deployment);
                }
            }
        }
        // All reports on a deployment are kept if one changes something: after that one, the others
        // may change something too.
        open.retain(|of, _| changing.contains(of));
        Self {
            reports,
            results,
            open,
            terms,
        }
    }

    /// The reports on a deployment that are still to be done.
    fn of_one(&self, of: DeploymentId) -> impl Iterator<Item = &R> {
        let places = self.open.get(&of).into_iter().flatten();
        places.map(|&place| &self.reports[place])
    }

    /// Notes what became of the reports on a deployment.
    fn settle(&mut self, of: DeploymentId, results: Results) {
        for (place, result) in self.open.remove(&of).into_iter().flatten().zip(results) {
            self.results[place] = result;
        }
    }
}

/// Applies the reports on one deployment. Returns the results, and the write set
/// if anything changed.
async fn apply_reports<'a, R: Report + 'a>(
    tx: &mut UnitTransaction,
    mut held: Locked,
    reports: impl Iterator<Item = &'a R>,
    terms: &ReportTerms,
) -> Result<(Results, Option<WriteSet>), StoreError> {
    let mut results = Vec::new();
    let mut changed: BTreeSet<RouteId> = BTreeSet::new();
    let mut reported = ReportedChange::Confirmation;
    for report in reports {
        let taken_by = address_taken(report, &held.routes);
        let routes = &mut held.routes;
        let Some(route) = routes
            .iter_mut()
            .find(|route| route.view.id == report.route())
        else {
            // The route has ended, and no decision needs it any more.
            let connection = tx.connection().await?;
            let found = connection.find_routes(vec![report.route()]).await?;
            results.push(match found.first() {
                Some(route) if report.is_noop(route, terms) => Ok(()),
                Some(route) => report.check(route, terms),
                None => Err(ReportError::UnknownRoute(report.route())),
            });
            continue;
        };
        if report.is_noop(route, terms) {
            results.push(Ok(()));
            continue;
        }
        let checked = report.check(route, terms);
        let checked = checked.and(taken_by.map_or(Ok(()), |by| Err(ReportError::AddressTaken(by))));
        if checked.is_ok() {
            if !report.only_confirms(route) {
                reported = ReportedChange::Visible;
            }
            report.apply(route, held.now);
            changed.insert(route.view.id);
        }
        results.push(checked);
    }
    let change = (!changed.is_empty()).then(|| change(held, &changed, reported));
    Ok((results, change))
}

/// The other RUNNING route that has the address which a report claims. One that ends,
/// or has ended, is in no table any more: its address is free.
fn address_taken<R: Report>(report: &R, routes: &[Route]) -> Option<RouteId> {
    let claimed = report.claims()?;
    let running = routes.iter().find(|route| {
        route.view.status == RouteStatus::Running
            && route.view.id != report.route()
            && route.address.as_ref() == Some(claimed)
    });
    running.map(|route| route.view.id)
}

/// What it comes to that some routes were changed by reports.
fn change(held: Locked, changed: &BTreeSet<RouteId>, what: ReportedChange) -> WriteSet {
    let reported = held.routes.iter();
    let reported: Vec<Route> = reported
        .filter(|route| changed.contains(&route.view.id))
        .cloned()
        .collect();
    let done = reported.iter().filter(|route| is_done(route));
    let done = done.map(|route| route.view.id).collect();
    // Of those that have ended only the ones that end by this are loaded and changed.
    let failed = reported.iter().filter(|route| route.view.has_failed());
    let failed = failed.map(|route| route.view.id).collect();
    // Reports decide nothing. They make the deployment due, and the next reconcile acts.
    let plan = PlannedChange::of_reports(&held.deployment, what, failed);
    let mut set = held.write_set(&plan, &RequestContext::default());
    set.routes.reported = reported;
    set.routes.done = done;
    set
}

/// Whether a scheduler has nothing more to do with a route: what was to be
/// started is started, or gone; what was to be stopped is open until it is over.
fn is_done(route: &Route) -> bool {
    let view = &route.view;
    let still_to_stop = view.status == RouteStatus::Terminating && view.drained_at.is_some();
    view.status != RouteStatus::Provisioning && !still_to_stop
}
