//! Routes that are over, and no longer needed.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{load, with_conn};
use viridian_strategy::{DeploymentId, Lifecycle, RevisionId, RouteId, RouteStatus, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    schema::{deployments, routes},
    types::Sql,
};

impl StoreConnection {
    /// Lists routes that are over since before a time and that no decision needs
    /// (see [`StoreConnection::load_routes`]), with ids between two.
    pub(crate) async fn list_old_routes(
        &mut self,
        before: Timestamp,
        after: RouteId,
        end: RouteId,
        limit: i64,
    ) -> Result<Vec<RouteId>, StoreError> {
        let drained = routes::drained_at
            .is_not_null()
            .and(routes::hung_at.is_null())
            .or(routes::evicted_at.is_not_null());
        // The reverse of what `lock_deployments` loads: a route that failed or hung in such an
        // activation still lengthens the back-off.
        let earlier = routes::activation
            .ne(deployments::current_activation)
            .and(routes::activation.ne(deployments::last_activation));
        let forgotten = earlier.or(deployments::lifecycle.eq(Sql(Lifecycle::Destroyed)));
        let ids: Vec<Sql<RouteId>> = load!(
            self,
            routes::table
                .inner_join(deployments::table.on(deployments::id.eq(routes::deployment_id)))
                .filter(routes::id.gt(Sql(after)))
                .filter(routes::id.lt(Sql(end)))
                .filter(routes::status.eq_any(OVER))
                .filter(routes::status_updated_at.lt(Sql(before)))
                .filter(drained.or(forgotten))
                .order(routes::id)
                .limit(limit)
                .select(routes::id)
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Deletes routes that are over; gives how many there were.
    pub(crate) async fn delete_routes(&mut self, ids: Vec<RouteId>) -> Result<usize, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        Ok(with_conn!(self, |c| diesel::delete(routes::table)
            .filter(routes::id.eq_any(ids))
            .filter(routes::status.eq_any(OVER))
            .execute(c))?)
    }

    /// Lists the revisions of a deployment that have routes which are not over,
    /// or have not been since before a time.
    pub(crate) async fn list_revisions_in_use(
        &mut self,
        deployment: DeploymentId,
        before: Timestamp,
    ) -> Result<Vec<RevisionId>, StoreError> {
        let lately = routes::status_updated_at.ge(Sql(before));
        let ids: Vec<Sql<RevisionId>> = load!(
            self,
            routes::table
                .filter(routes::deployment_id.eq(Sql(deployment)))
                .filter(routes::status.ne_all(OVER).or(lately))
                .select(routes::revision_id)
                .distinct()
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Deletes the routes of some revisions, which are over.
    pub(crate) async fn delete_routes_of(
        &mut self,
        deployment: DeploymentId,
        revisions: Vec<RevisionId>,
    ) -> Result<(), StoreError> {
        let revisions: Vec<_> = revisions.into_iter().map(Sql).collect();
        with_conn!(self, |c| diesel::delete(routes::table)
            .filter(routes::deployment_id.eq(Sql(deployment)))
            .filter(routes::revision_id.eq_any(revisions))
            .filter(routes::status.eq_any(OVER))
            .execute(c))?;
        Ok(())
    }
}

const OVER: [Sql<RouteStatus>; 2] = [
    Sql(RouteStatus::Terminated),
    Sql(RouteStatus::FailedToStart),
];
