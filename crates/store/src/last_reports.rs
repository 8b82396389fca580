//! When something was last reported of each route.
//!
//! A report that changes nothing writes nothing. So servers remember when they
//! had one, and write that down here now and then, for many routes at once. It is
//! late by that much. With a health TTL decisions read from it when a health was last
//! confirmed: late means older there, never fresher.

use std::collections::HashMap;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{Column, Write, load, pad_to_power_of_two, with_conn};
use viridian_strategy::{
    DeploymentId, ObservedRoute, RouteHealth, RouteId, RouteStatus, Timestamp,
};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::LastReport,
    schema::{last_reports, routes},
    types::Sql,
};

/// The routes whose last reports are looked up.
pub(crate) enum RouteSelection {
    /// These.
    These(Vec<RouteId>),
    /// Up to `limit` of all, in id order after `after`.
    All { after: Option<RouteId>, limit: i64 },
}

/// When the health of a route was last observed: by its row, or `again` by what was written
/// down without the lock of its deployment.
pub(crate) fn last_observed(
    route: &ObservedRoute,
    again: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    // One in the future is from before the clock was set back.
    let again = again.filter(|&at| at <= now);
    // Without one in the row nothing was observed in the present session.
    let observed = route.health_observed_at?;
    Some(again.map_or(observed, |again| again.max(observed)))
}

impl StoreConnection {
    /// Gives those of some routes that are not over.
    pub(crate) async fn list_live_routes(
        &mut self,
        ids: Vec<RouteId>,
    ) -> Result<Vec<RouteId>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let over = [
            Sql(RouteStatus::Terminated),
            Sql(RouteStatus::FailedToStart),
        ];
        let ids: Vec<Sql<RouteId>> = load!(
            self,
            routes::table
                .filter(routes::id.eq_any(ids))
                .filter(routes::status.ne_all(over))
                .select(routes::id)
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Finds when the health of deployments' routes was last reported again.
    pub(crate) async fn find_confirmed_health(
        &mut self,
        of: Vec<DeploymentId>,
    ) -> Result<HashMap<RouteId, Timestamp>, StoreError> {
        let of = pad_to_power_of_two(of.into_iter().map(Sql).collect());
        let rows: Vec<(Sql<RouteId>, Option<Sql<Timestamp>>)> = load!(
            self,
            last_reports::table
                .inner_join(routes::table.on(routes::id.eq(last_reports::route_id)))
                .filter(routes::deployment_id.eq_any(of.clone()))
                .filter(last_reports::health_at.is_not_null())
                .select((last_reports::route_id, last_reports::health_at))
        )?;
        let known = rows.into_iter();
        Ok(known
            .filter_map(|(Sql(id), at)| Some((id, at?.0)))
            .collect())
    }

    /// Finds the times of the last reports about routes, as far as servers have stored them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_last_reports(
        &mut self,
        ids: Vec<RouteId>,
    ) -> Result<Vec<(RouteId, Timestamp)>, StoreError> {
        type Row = (Sql<RouteId>, Option<Sql<Timestamp>>, Option<Sql<Timestamp>>);
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<Row> = load!(
            self,
            last_reports::table.filter(last_reports::route_id.eq_any(ids))
        )?;
        let last = |(Sql(id), status, health): Row| {
            let at = [status, health].into_iter().flatten().map(|Sql(at)| at);
            Some((id, at.max()?))
        };
        Ok(rows.into_iter().filter_map(last).collect())
    }

    /// Moves the time at which the health of a route was last reported again to `at`, if
    /// it is later.
    pub(crate) async fn bound_confirmed_health(
        &mut self,
        route: RouteId,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        with_conn!(self, |c| diesel::update(
            last_reports::table.find(Sql(route))
        )
        .filter(last_reports::health_at.gt(Sql(at)))
        .set(last_reports::health_at.eq(Sql(at)))
        .execute(c))?;
        Ok(())
    }

    /// Lists routes that are RUNNING and HEALTHY, and whose health was not observed
    /// since a time, in the order of their ids.
    pub(crate) async fn list_silent_routes(
        &mut self,
        since: Timestamp,
        among: RouteSelection,
    ) -> Result<Vec<(RouteId, DeploymentId)>, StoreError> {
        let since = Sql(since);
        let rows: Vec<(Sql<RouteId>, Sql<DeploymentId>)> = load!(self, {
            // A report that changes the health is on the route at once. One that repeats it is
            // here, some time later.
            let never = last_reports::health_at.is_null();
            let observed = routes::health_observed_at.is_null();
            let mut query = routes::table
                .left_join(last_reports::table.on(last_reports::route_id.eq(routes::id)))
                .filter(routes::status.eq(Sql(RouteStatus::Running)))
                .filter(routes::health.eq(Sql(RouteHealth::Healthy)))
                .filter(observed.or(routes::health_observed_at.le(since)))
                .filter(never.or(last_reports::health_at.le(since)))
                .order(routes::id)
                .select((routes::id, routes::deployment_id))
                .into_boxed();
            match among {
                RouteSelection::These(ids) => {
                    let ids: Vec<_> = ids.into_iter().map(Sql).collect();
                    query = query.filter(routes::id.eq_any(ids));
                }
                RouteSelection::All { after, limit } => {
                    if let Some(after) = after {
                        query = query.filter(routes::id.gt(Sql(after)));
                    }
                    query = query.limit(limit);
                }
            }
            query
        })?;
        Ok(rows
            .into_iter()
            .map(|(Sql(route), Sql(of))| (route, of))
            .collect())
    }
}

/// Writes down when something was reported of routes. What is there already stays
/// if it is later.
pub(crate) fn note_reports(reports: &[LastReport]) -> Write {
    let (mut ids, mut statuses, mut healths) = (Vec::new(), Vec::new(), Vec::new());
    for report in reports {
        ids.push(Sql(report.route));
        statuses.push(report.status.map(Sql));
        healths.push(report.health.map(Sql));
    }
    let columns = vec![
        Column::new(last_reports::route_id, ids),
        Column::new(last_reports::status_at, statuses),
        Column::new(last_reports::health_at, healths),
    ];
    Write::insert("note reports", "last_reports", columns).on_conflict(THE_LATER)
}

// Servers write at their own pace, so an earlier time can arrive after a later one. CASE, because
// the engines have different names for the greater of two values.
const THE_LATER: &str = "ON CONFLICT (route_id) DO UPDATE SET \
    status_at = CASE WHEN excluded.status_at IS NULL \
        OR excluded.status_at < last_reports.status_at \
        THEN last_reports.status_at ELSE excluded.status_at END, \
    health_at = CASE WHEN excluded.health_at IS NULL \
        OR excluded.health_at < last_reports.health_at \
        THEN last_reports.health_at ELSE excluded.health_at END";
