//! Reports of schedulers and health checkers, a batch a transaction.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
};

use viridian_strategy::{DeploymentId, Health, RouteId, RouteStatus, Transition};

use crate::{
    Database,
    error::StoreError,
    routes::Route,
    transaction::Transaction,
    types::Phase,
    units::{
        Call,
        hold::{Held, Plan},
    },
};

/// What became of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// Which route.
    pub route: RouteId,
    /// Its new status.
    pub status: RouteStatus,
    /// The session that it runs in; kept when empty.
    pub session_id: String,
    /// Where it listens; kept when empty.
    pub address: String,
    /// Why it failed.
    pub failure: String,
}

/// What the health checker saw of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// Which route.
    pub route: RouteId,
    /// What it saw.
    pub health: Health,
}

/// Why one report was not applied. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportError {
    /// There is no such route.
    UnknownRoute(RouteId),
    /// The route cannot move like that.
    IllegalMove {
        /// What it is.
        from: RouteStatus,
        /// What was reported.
        to: RouteStatus,
    },
    /// The route has ended; it has no health any more.
    Over(RouteStatus),
    /// The route's deployment cannot be read.
    Unreadable(DeploymentId),
}

/// A report of either kind: what it would make of a route.
trait Report: Clone {
    fn route(&self) -> RouteId;
    /// Whether nothing would change.
    fn holds(&self, route: &Route) -> bool;
    fn check(&self, route: &Route) -> Result<(), ReportError>;
    fn apply(&self, route: &mut Route, now: viridian_strategy::Timestamp);
}

impl Database {
    /// Applies reports of status. Each stands alone: the results are in the
    /// order of the reports.
    ///
    /// # Errors
    ///
    /// When the database fails; then none is applied.
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
    /// When the database fails; then none is applied.
    pub async fn report_health(
        &self,
        reports: Vec<HealthReport>,
    ) -> Result<Vec<Result<(), ReportError>>, StoreError> {
        self.report(reports).await
    }

    async fn report<R: Report>(
        &self,
        reports: Vec<R>,
    ) -> Result<Vec<Result<(), ReportError>>, StoreError> {
        let ids = reports.iter().map(Report::route).collect();
        let known: HashMap<RouteId, Route> = {
            let routes = self.reader().await?.find_routes(ids).await?;
            routes
                .into_iter()
                .map(|route| (route.view.id, route))
                .collect()
        };
        // A batch that changes nothing takes no lock and writes nothing.
        let owners: BTreeSet<DeploymentId> = reports
            .iter()
            .filter_map(|report| {
                known
                    .get(&report.route())
                    .filter(|route| !report.holds(route))
            })
            .map(|route| route.deployment)
            .collect();
        let changing: HashMap<RouteId, DeploymentId> = known
            .values()
            .filter(|route| owners.contains(&route.deployment))
            .map(|route| (route.view.id, route.deployment))
            .collect();
        let mut results: Vec<Result<(), ReportError>> = reports
            .iter()
            .map(|report| match known.get(&report.route()) {
                Some(_) => Ok(()),
                None => Err(ReportError::UnknownRoute(report.route())),
            })
            .collect();
        if owners.is_empty() {
            return Ok(results);
        }
        self.write_on(owners.clone(), async |tx: &mut Transaction| {
            for owner in owners {
                let of_owner = reports
                    .iter()
                    .zip(results.iter_mut())
                    .filter(|(report, _)| changing.get(&report.route()) == Some(&owner));
                apply_all(tx, owner, of_owner).await?;
            }
            Ok(results)
        })
        .await
    }
}

/// Applies the reports on one deployment's routes, under its lock.
async fn apply_all<'a, R: Report + 'a>(
    tx: &mut Transaction,
    owner: DeploymentId,
    reports: impl Iterator<Item = (&'a R, &'a mut Result<(), ReportError>)>,
) -> Result<(), StoreError> {
    let held = match tx.hold(owner).await {
        Ok(held) => held,
        Err(StoreError::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    let Some(mut held) = held else {
        reports.for_each(|(_, result)| *result = Err(ReportError::Unreadable(owner)));
        return Ok(());
    };
    let mut changed: BTreeSet<RouteId> = BTreeSet::new();
    for (report, result) in reports {
        *result = apply(tx, &mut held, report, &mut changed).await?;
    }
    if changed.is_empty() {
        return Ok(());
    }
    let mut done = Vec::new();
    for route in held
        .routes
        .iter()
        .filter(|route| changed.contains(&route.view.id))
    {
        tx.connection()?.update_reported(route.clone()).await?;
        // What was to be started is started, or gone; what was to be stopped is
        // open until it is over.
        let view = &route.view;
        let still_to_stop = view.status == RouteStatus::Terminating && view.drained_at.is_some();
        if view.status != RouteStatus::Provisioning && !still_to_stop {
            done.push(view.id);
        }
    }
    tx.connection()?.delete_assignments(&done).await?;
    let plan = Plan {
        transition: Transition::step(held.deployment.state),
        amended: None,
        due_at: Some(held.now),
        phase: Phase::Evaluate,
        asked_for: false,
        reported: true,
    };
    tx.carry_out(held, plan, &Call::default()).await?;
    Ok(())
}

async fn apply<R: Report>(
    tx: &mut Transaction,
    held: &mut Held,
    report: &R,
    changed: &mut BTreeSet<RouteId>,
) -> Result<Result<(), ReportError>, StoreError> {
    let now = held.now;
    let Some(route) = held
        .routes
        .iter_mut()
        .find(|route| route.view.id == report.route())
    else {
        // It is over for so long that no decision needs it.
        let found = tx.connection()?.find_routes(vec![report.route()]).await?;
        return Ok(match found.first() {
            Some(route) if report.holds(route) => Ok(()),
            Some(route) => report.check(route),
            None => Err(ReportError::UnknownRoute(report.route())),
        });
    };
    if report.holds(route) {
        return Ok(Ok(()));
    }
    let checked = report.check(route);
    if checked.is_ok() {
        report.apply(route, now);
        changed.insert(route.view.id);
    }
    Ok(checked)
}

impl Report for StatusReport {
    fn route(&self) -> RouteId {
        self.route
    }

    fn holds(&self, route: &Route) -> bool {
        let same = |new: &str, old: &str| new.is_empty() || new == old;
        route.view.status == self.status
            && (self.status.is_over()
                || same(&self.session_id, &route.session_id) && same(&self.address, &route.address))
    }

    fn check(&self, route: &Route) -> Result<(), ReportError> {
        let (from, to) = (route.view.status, self.status);
        if from == to || from.may_become(to) {
            Ok(())
        } else {
            Err(ReportError::IllegalMove { from, to })
        }
    }

    fn apply(&self, route: &mut Route, now: viridian_strategy::Timestamp) {
        route.view.move_to(self.status, now);
        for (new, old) in [
            (&self.session_id, &mut route.session_id),
            (&self.address, &mut route.address),
            (&self.failure, &mut route.failure),
        ] {
            if !new.is_empty() {
                old.clone_from(new);
            }
        }
    }
}

impl Report for HealthReport {
    fn route(&self) -> RouteId {
        self.route
    }

    fn holds(&self, route: &Route) -> bool {
        route.view.health == self.health && !route.view.status.is_over()
    }

    fn check(&self, route: &Route) -> Result<(), ReportError> {
        if route.view.status.is_over() {
            Err(ReportError::Over(route.view.status))
        } else {
            Ok(())
        }
    }

    fn apply(&self, route: &mut Route, now: viridian_strategy::Timestamp) {
        route.view.observe(self.health, now);
    }
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute(id) => write!(f, "there is no route {id}"),
            Self::IllegalMove { from, to } => {
                write!(
                    f,
                    "a route cannot move from {} to {}",
                    word(*from),
                    word(*to)
                )
            }
            Self::Over(status) => write!(f, "the route is {}", word(*status)),
            Self::Unreadable(id) => write!(f, "deployment {id} cannot be read"),
        }
    }
}

fn word(status: RouteStatus) -> &'static str {
    match status {
        RouteStatus::Provisioning => "PROVISIONING",
        RouteStatus::Running => "RUNNING",
        RouteStatus::Terminating => "TERMINATING",
        RouteStatus::Terminated => "TERMINATED",
        RouteStatus::FailedToStart => "FAILED_TO_START",
    }
}
