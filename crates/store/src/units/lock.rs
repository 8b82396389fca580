//! What all units of work begin with: lock a deployment.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use viridian_engine::LockWait;
use viridian_strategy::{
    DeploymentId, Observed, ObservedRoute, RevisionId, RouteId, RouteStatus, Timestamp,
};

use crate::{
    deployments::{LockedDeployment, LockedRows},
    error::StoreError,
    last_reports::last_observed,
    record::{CommitId, Deployment, OpenEntries, Revision, RevisionSpec, Route, TableContent},
    transaction::UnitTransaction,
    units::RequestContext,
};

/// A deployment that this transaction has locked, with its routes.
pub(crate) struct Locked {
    pub(crate) deployment: Deployment,
    pub(crate) routes: Vec<Route>,
    pub(crate) table: TableContent,
    pub(crate) table_commit: Option<CommitId>,
    pub(crate) open_entries: OpenEntries,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
    /// Whether it had times later than `now`. They were moved back, and have to be stored.
    pub(crate) had_later_times: bool,
    pub(crate) health_ttl: Option<Duration>,
}

impl Locked {
    /// Decides from what is locked.
    pub(crate) fn decide<T>(&self, decide: impl FnOnce(&Observed<'_>) -> T) -> T {
        let routes: Vec<ObservedRoute> = self.routes.iter().map(|route| route.view).collect();
        decide(&Observed {
            deployment: &self.deployment.observed(),
            routes: &routes,
            policy: &self.deployment.policy,
            now: self.now,
            health_ttl: self.health_ttl,
        })
    }
}

impl Locked {
    /// The latest time that a decision reads.
    fn latest_time(&self) -> Timestamp {
        let routes = self.routes.iter().map(|route| route.view.latest_time());
        let deployment = self.deployment.observed().latest_time();
        routes.chain(deployment).max().unwrap_or_default()
    }
}

impl UnitTransaction {
    /// Locks a deployment, and loads what a decision on it needs. Waits for its lock.
    pub(crate) async fn lock(&mut self, id: DeploymentId) -> Result<Option<Locked>, StoreError> {
        let locked = self.lock_all(vec![id], LockWait::ForAll).await?;
        locked
            .into_iter()
            .next()
            .map(|(_, locked)| locked)
            .transpose()
    }

    /// Locks the deployments that are due and available, the longest overdue first, and loads
    /// the same. Also returns all that it has locked, in case the rest of it fails.
    pub(crate) async fn lock_due(
        &mut self,
        due_by: Timestamp,
        limit: u32,
        taken: &mut Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, Result<Locked, StoreError>)>, StoreError> {
        let (connection, round_trip) = self.round_trip()?;
        let due = connection.lock_due(round_trip, due_by, limit).await?;
        // Before anything else can fail: the caller then reconciles these one by one.
        taken.clone_from(&due);
        match due.is_empty() {
            true => Ok(Vec::new()),
            // Routes are loaded by a statement of their own: one that also locks could show
            // them as they were before it waited.
            false => self.lock_all(due, LockWait::Locked).await,
        }
    }

    /// Locks those of some deployments that are available, and loads the same. A deployment
    /// that cannot be read fails alone.
    pub(crate) async fn lock_available(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, Result<Locked, StoreError>)>, StoreError> {
        self.lock_all(ids, LockWait::Never).await
    }

    /// Locks deployments, and loads those that it has locked. One that cannot be read fails alone.
    pub(super) async fn lock_all(
        &mut self,
        ids: Vec<DeploymentId>,
        wait: LockWait,
    ) -> Result<Vec<(DeploymentId, Result<Locked, StoreError>)>, StoreError> {
        let health_ttl = self.health_ttl();
        let (connection, round_trip) = self.round_trip()?;
        let of = health_ttl.map(|_| ids.clone());
        let asked = Instant::now();
        let mut taken: LockedRows = connection.lock_deployments(round_trip, ids, wait).await?;
        if let Some(of) = of {
            // After the lock: what was written down before it counts, as it does for routes.
            // Boxed, as what is rare below: each call's future would be larger by it.
            let confirmed = Box::pin(connection.find_confirmed_health(of)).await?;
            confirm(&mut taken.1, &confirmed, taken.2);
        }
        let (deployments, routes, now) = taken;
        self.check_clock(now, asked)?;
        let now = self.as_of(now);
        let mut routes_of: HashMap<DeploymentId, Vec<Route>> = HashMap::new();
        for route in routes {
            routes_of.entry(route.deployment).or_default().push(route);
        }
        let mut all = Vec::new();
        for (id, locked) in deployments {
            let routes = routes_of.remove(&id).unwrap_or_default();
            let mut locked = locked.map(|locked| Locked::new(locked, routes, now, health_ttl));
            if let Ok(locked) = &mut locked {
                Box::pin(self.follow_clock(locked)).await?;
            }
            all.push((id, locked));
        }
        Ok(all)
    }

    /// Moves the times of a locked deployment and of its routes back until none is later than
    /// now, and stores those of the routes and of their assignments.
    async fn follow_clock(&mut self, locked: &mut Locked) -> Result<(), StoreError> {
        let ahead = locked.latest_time().since(locked.now);
        if ahead.is_zero() {
            return Ok(());
        }
        locked.had_later_times = true;
        let mut observed = locked.deployment.observed();
        observed.move_times_back(ahead);
        locked.deployment = locked.deployment.clone().decided(observed);
        let grace = locked.deployment.policy.drain_grace;
        // Not with the other writes: of two writes of one row PostgreSQL would take only one.
        let connection = self.connection().await?;
        for Route { view, .. } in &mut locked.routes {
            view.move_times_back(ahead);
            connection.store_route_times(view).await?;
            // Or it would make the health look fresh once the clock has caught up.
            if let Some(at) = view.health_observed_at {
                connection.bound_confirmed_health(view.id, at).await?;
            }
            let available_at = match view.status {
                RouteStatus::Provisioning => Some(view.created_at),
                RouteStatus::Terminating => view.drained_at.map(|at| at + grace),
                _ => None,
            };
            if let Some(available_at) = available_at {
                connection.bound_availability(view.id, available_at).await?;
            }
        }
        Ok(())
    }
}

impl Locked {
    /// The next revision of the deployment, with an id of its own.
    pub(crate) fn next_revision(
        &self,
        id: RevisionId,
        spec: RevisionSpec,
        call: &RequestContext,
    ) -> Revision {
        Revision {
            id,
            deployment: self.deployment.id,
            // Not the highest number in the table plus one: a number whose revision was pruned
            // must not be given again.
            number: self.deployment.last_revision + 1,
            spec,
            created_at: self.now,
            created_by: call.actor.clone(),
        }
    }

    fn new(
        locked: LockedDeployment,
        routes: Vec<Route>,
        now: Timestamp,
        health_ttl: Option<Duration>,
    ) -> Self {
        let LockedDeployment {
            deployment,
            table,
            table_commit,
            open_entries,
            due_at,
        } = locked;
        Self {
            deployment,
            routes,
            table,
            table_commit,
            open_entries,
            due_at,
            now,
            had_later_times: false,
            health_ttl,
        }
    }
}

/// Adds to routes when their health was last reported again, which is written down
/// without the lock of their deployment.
fn confirm(routes: &mut [Route], confirmed: &HashMap<RouteId, Timestamp>, now: Timestamp) {
    for route in routes {
        let again = confirmed.get(&route.view.id).copied();
        route.view.health_observed_at = last_observed(&route.view, again, now);
    }
}
