//! Deployments that a transaction locks, with their routes.

use diesel::{dsl::exists, prelude::*};
use uuid::Uuid;
use viridian_engine::{
    Cacheable as _, ForUpdate as _, LockWait, RoundTrip, pad_to_power_of_two, pipeline, selected,
};
use viridian_strategy::{DeploymentId, RouteStatus, Timestamp};

use super::{LockedDeployment, does_not_parse, row::LockedRow, try_row::TryRow, unreadable};
use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::Route,
    routes::RouteRow,
    schema::{deployments, routes},
    types::{Sql, timestamp},
};

/// Each deployment, or why it cannot be read; the routes of all of them; and the time.
pub(crate) type LockedRows = (
    Vec<(DeploymentId, Result<LockedDeployment, StoreError>)>,
    Vec<Route>,
    Timestamp,
);

impl StoreConnection {
    /// Locks deployments in the order of their ids, and loads the routes that decisions on them
    /// need: those that have not ended, and those that failed or hung in the current or the
    /// last activation.
    ///
    /// These are two statements. A single one that locks and loads would show routes as they
    /// were before it waited. The routes may include those of deployments that were skipped.
    pub(crate) async fn lock_deployments(
        &mut self,
        round_trip: RoundTrip,
        ids: Vec<DeploymentId>,
        wait: LockWait,
    ) -> Result<LockedRows, StoreError> {
        // Both statements are cached, and on SQLite a list is a part of their text.
        let first = ids.first().copied();
        let ids = pad_to_power_of_two(ids.into_iter().map(Sql).collect());
        let over = [
            Sql(RouteStatus::Terminated),
            Sql(RouteStatus::FailedToStart),
        ];
        let counts = routes::activation
            .eq(deployments::current_activation)
            .or(routes::activation.eq(deployments::last_activation));
        // A subquery runs only for routes that have ended. A join would run for all.
        let counting = deployments::table
            .filter(deployments::id.eq(routes::deployment_id))
            .filter(counts);
        // They have ended, but the strategy counts them: they lengthen the back-off.
        let failed = routes::drained_at
            .is_null()
            .and(routes::evicted_at.is_null())
            .or(routes::hung_at.is_not_null())
            .and(exists(counting));
        // Ordered by id, so that two transactions which lock the same rows cannot deadlock.
        let (rows, routes, now): (Vec<(Sql<_>, TryRow<_>)>, Vec<RouteRow>, _) = pipeline!(
            self,
            round_trip,
            deployments::table
                .filter(deployments::id.eq_any(ids.clone()))
                .order(deployments::id)
                .select((deployments::id, selected::<TryRow<LockedRow>, Db>()))
                .cached()
                .lock_rows(wait),
            routes::table
                .filter(routes::deployment_id.eq_any(ids.clone()))
                .filter(routes::status.ne_all(over).or(failed))
                .select(selected::<RouteRow, Db>())
                .cached(),
        )
        // Of a route. Whose it is shows when each deployment is loaded alone.
        .map_err(|error| unreadable(first.unwrap_or(DeploymentId(Uuid::nil())), error))?;
        let rows = rows.into_iter().map(|(Sql(id), TryRow(row))| {
            let row = row.map_err(|_| does_not_parse(id));
            (id, row.and_then(LockedDeployment::try_from))
        });
        let mut routes: Vec<_> = routes.into_iter().map(Route::from).collect();
        // Sorted here: the database would take longer.
        routes.sort_unstable_by_key(|route| route.view.id);
        Ok((rows.collect(), routes, timestamp(now)))
    }

    /// Locks a deployment, and reads nothing of it. Waits for its lock.
    pub(crate) async fn lock_deployment_row(
        &mut self,
        round_trip: RoundTrip,
        id: DeploymentId,
    ) -> Result<(), StoreError> {
        let (_, _): (Vec<Sql<DeploymentId>>, _) = pipeline!(
            self,
            round_trip,
            deployments::table
                .filter(deployments::id.eq(Sql(id)))
                .select(deployments::id)
                .lock_rows(LockWait::ForAll)
        )?;
        Ok(())
    }

    /// Locks deployments that are due and available, the longest overdue first.
    pub(crate) async fn lock_due(
        &mut self,
        round_trip: RoundTrip,
        due_by: Timestamp,
        limit: u32,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        // With SKIP LOCKED workers share the queue: none waits for a row that another one has.
        let (ids, _): (Vec<Sql<DeploymentId>>, _) = pipeline!(
            self,
            round_trip,
            deployments::table
                .filter(deployments::due_at.le(Sql(due_by)))
                .order(deployments::due_at)
                .limit(limit.into())
                .select(deployments::id)
                .lock_rows(LockWait::Never)
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }
}
