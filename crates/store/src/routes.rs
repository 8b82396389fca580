//! Routes: the row, and the statements on it.

mod group;
mod old;
mod state_counts;
mod times;
mod traffic;

use std::collections::HashMap;

use diesel::prelude::*;
use viridian_engine::{Column, RoundTrip, Write, columns, load, pipeline, selected};
use viridian_strategy::{
    DeploymentId, ObservedRoute, RevisionId, RouteHealth, RouteId, RouteStatus, RouteTraffic,
    Timestamp,
};

pub use self::{group::GroupRouteFilter, state_counts::RouteStateCounts, traffic::Tables};
use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{Metadata, Route, RouteAddress},
    schema::{deployments, last_reports, routes},
    types::{Json, Sql, timestamp},
};

/// Which routes of a deployment a list has.
#[derive(Clone, Debug, Default)]
pub struct RouteFilter {
    /// Only those in one of these; all when empty.
    pub statuses: Vec<RouteStatus>,
    /// Only those of this revision.
    pub revision: Option<RevisionId>,
}

impl StoreConnection {
    /// Finds routes by id, of whatever deployment.
    pub(crate) async fn find_routes(
        &mut self,
        ids: Vec<RouteId>,
    ) -> Result<Vec<Route>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<RouteRow> = load!(
            self,
            routes::table
                .filter(routes::id.eq_any(ids))
                .select(selected::<RouteRow, Db>())
        )?;
        Ok(rows.into_iter().map(Route::from).collect())
    }

    /// Finds the same with when their health was last reported again, and the time.
    pub(crate) async fn find_reported_routes(
        &mut self,
        round_trip: RoundTrip,
        ids: Vec<RouteId>,
    ) -> Result<(Vec<Route>, HashMap<RouteId, Timestamp>, Timestamp), StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        type Confirmed = (Sql<RouteId>, Option<Sql<Timestamp>>);
        let (rows, confirmed, now): (Vec<RouteRow>, Vec<Confirmed>, _) = pipeline!(
            self,
            round_trip,
            routes::table
                .filter(routes::id.eq_any(ids.clone()))
                .select(selected::<RouteRow, Db>()),
            last_reports::table
                .filter(last_reports::route_id.eq_any(ids.clone()))
                .select((last_reports::route_id, last_reports::health_at)),
        )?;
        let confirmed = confirmed.into_iter();
        let confirmed = confirmed.filter_map(|(Sql(id), at)| Some((id, at?.0)));
        let rows = rows.into_iter().map(Route::from);
        Ok((rows.collect(), confirmed.collect(), timestamp(now)))
    }

    /// Finds the projects of routes, which never change.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_route_projects(
        &mut self,
        ids: Vec<RouteId>,
    ) -> Result<Vec<(RouteId, String)>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<(Sql<RouteId>, String)> = load!(
            self,
            routes::table
                .inner_join(deployments::table.on(deployments::id.eq(routes::deployment_id)))
                .filter(routes::id.eq_any(ids))
                .select((routes::id, deployments::project))
        )?;
        Ok(rows.into_iter().map(|(Sql(id), of)| (id, of)).collect())
    }

    /// Finds the resource groups of routes, which never change.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_route_groups(
        &mut self,
        ids: Vec<RouteId>,
    ) -> Result<Vec<(RouteId, String)>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<(Sql<RouteId>, Json<Metadata>)> = load!(
            self,
            routes::table
                .inner_join(deployments::table.on(deployments::id.eq(routes::deployment_id)))
                .filter(routes::id.eq_any(ids))
                .select((routes::id, deployments::metadata))
        )?;
        let group = |(Sql(id), Json(of)): (Sql<RouteId>, Json<Metadata>)| (id, of.resource_group);
        Ok(rows.into_iter().map(group).collect())
    }

    /// Finds the deployment of a route, which never changes.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_deployment_of_route(
        &mut self,
        id: RouteId,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let rows: Vec<Sql<DeploymentId>> = load!(
            self,
            routes::table
                .filter(routes::id.eq(Sql(id)))
                .select(routes::deployment_id)
        )?;
        Ok(rows.first().map(|Sql(id)| *id))
    }

    /// Lists routes of a deployment, oldest first, after one of them.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_routes(
        &mut self,
        deployment: DeploymentId,
        filter: RouteFilter,
        after: Option<RouteId>,
        limit: u32,
    ) -> Result<Vec<Route>, StoreError> {
        let rows: Vec<RouteRow> = load!(self, {
            let mut query = routes::table
                .filter(routes::deployment_id.eq(Sql(deployment)))
                .select(selected::<RouteRow, Db>())
                .into_boxed();
            if !filter.statuses.is_empty() {
                let statuses: Vec<_> = filter.statuses.into_iter().map(Sql).collect();
                query = query.filter(routes::status.eq_any(statuses));
            }
            if let Some(revision) = filter.revision {
                query = query.filter(routes::revision_id.eq(Sql(revision)));
            }
            if let Some(after) = after {
                query = query.filter(routes::id.gt(Sql(after)));
            }
            // In the order of the index on deployments, so that a page needs no sort.
            query.order(routes::id).limit(i64::from(limit))
        })?;
        Ok(rows.into_iter().map(Route::from).collect())
    }
}

/// Inserts new routes.
pub(crate) fn insert_routes(new: Vec<Route>) -> Write {
    let rows = new.into_iter().map(RouteRow::from);
    let (fixed, reported) = rows.map(|row| (row.fixed, row.reported)).unzip();
    let mut columns = UnreportedColumns::columns(fixed);
    columns.extend(ReportedColumns::columns(reported));
    Write::insert("insert routes", "routes", columns)
}

/// Makes routes ACTIVE. Each must be starting or running, and must not be ACTIVE yet.
pub(crate) fn promote_routes(ids: &[RouteId]) -> Write {
    // The decision saw the same under the lock. Here it is checked once more: a route that is
    // ending gets no traffic. One that is not ready gets none either: the table leaves it out.
    Write::update("promote routes", "routes", keys(ids))
        .only_if(
            routes::status
                .eq_any([RouteStatus::Provisioning, RouteStatus::Running].map(Sql))
                .and(routes::traffic_status.eq(Sql(RouteTraffic::Inactive))),
        )
        .set_all((
            routes::traffic_status.eq(Sql(RouteTraffic::Active)),
            routes::traffic_ratio.eq(RouteTraffic::Active.ratio()),
            // A CHECK refuses an ACTIVE route that is still retained, as after an instant
            // roll-back.
            routes::retained_at.eq(None::<Sql<Timestamp>>),
        ))
}

/// Takes routes out of traffic and leaves them running.
pub(crate) fn retain_routes(ids: &[RouteId], now: Timestamp) -> Write {
    Write::update("retain routes", "routes", keys(ids))
        .only_if(routes::status.eq(Sql(RouteStatus::Running)))
        .set_all((
            routes::traffic_status.eq(Sql(RouteTraffic::Inactive)),
            routes::traffic_ratio.eq(RouteTraffic::Inactive.ratio()),
            routes::retained_at.eq(Some(Sql(now))),
        ))
}

/// Makes retained routes replicas of a rollout again, still without traffic.
pub(crate) fn reuse_routes(ids: &[RouteId]) -> Write {
    Write::update("reuse routes", "routes", keys(ids))
        .only_if(
            routes::status
                .eq(Sql(RouteStatus::Running))
                .and(routes::traffic_status.eq(Sql(RouteTraffic::Inactive))),
        )
        .set_all(routes::retained_at.eq(None::<Sql<Timestamp>>))
}

/// Takes routes out of traffic and has them ended.
pub(crate) fn drain_routes(ids: &[RouteId], now: Timestamp) -> Write {
    drain("drain routes", ids, now, None)
}

/// The same for routes that hang.
pub(crate) fn drain_hung_routes(ids: &[RouteId], now: Timestamp) -> Write {
    drain("drain hung routes", ids, now, Some(Sql(now)))
}

fn drain(
    name: &'static str,
    ids: &[RouteId],
    now: Timestamp,
    hung_at: Option<Sql<Timestamp>>,
) -> Write {
    // Not as a list: SQLite would prepare a statement with a list again for each row.
    let active = routes::status
        .eq(Sql(RouteStatus::Provisioning))
        .or(routes::status.eq(Sql(RouteStatus::Running)));
    Write::update(name, "routes", keys(ids))
        .only_if(active)
        .set_all((
            routes::status.eq(Sql(RouteStatus::Terminating)),
            routes::status_updated_at.eq(Sql(now)),
            routes::traffic_status.eq(Sql(RouteTraffic::Inactive)),
            routes::traffic_ratio.eq(RouteTraffic::Inactive.ratio()),
            routes::drained_at.eq(Some(Sql(now))),
            routes::hung_at.eq(hung_at),
        ))
}

/// Writes that routes have ended, without a report of it.
pub(crate) fn end_routes(routes: Vec<Route>) -> Write {
    let ids: Vec<_> = routes.iter().map(|route| route.view.id).collect();
    let drained = routes.iter().map(|route| route.view.drained_at.map(Sql));
    let drained = Column::new(routes::drained_at, drained.collect());
    let rows = routes.into_iter().map(RouteRow::from);
    let mut columns = ReportedColumns::columns(rows.map(|row| row.reported).collect());
    columns.push(drained);
    Write::update("end routes", "routes", keys(&ids)).set_each(columns)
}

/// Notes that routes are to be drained once others have come in their place.
pub(crate) fn request_drains(ids: &[RouteId], now: Timestamp) -> Write {
    Write::update("request drains", "routes", keys(ids))
        .set_all(routes::drain_requested_at.eq(Some(Sql(now))))
}

/// Writes what reports said of routes.
pub(crate) fn update_reported(routes: Vec<Route>) -> Write {
    let ids: Vec<_> = routes.iter().map(|route| route.view.id).collect();
    let rows = routes.into_iter().map(RouteRow::from);
    let reported = rows.map(|row| row.reported).collect();
    Write::update("update routes", "routes", keys(&ids))
        .set_each(ReportedColumns::columns(reported))
}

fn keys(ids: &[RouteId]) -> Vec<Column> {
    let ids = ids.iter().copied().map(Sql).collect();
    vec![Column::new(routes::id, ids)]
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = routes)]
pub(crate) struct RouteRow {
    #[diesel(embed)]
    fixed: UnreportedColumns,
    #[diesel(embed)]
    reported: ReportedColumns,
}

/// The columns that reports do not change.
#[derive(Queryable, Selectable)]
#[diesel(table_name = routes)]
pub(crate) struct UnreportedColumns {
    id: Sql<RouteId>,
    deployment_id: Sql<DeploymentId>,
    revision_id: Sql<RevisionId>,
    created_at: Sql<Timestamp>,
    drained_at: Option<Sql<Timestamp>>,
    retained_at: Option<Sql<Timestamp>>,
    activation: i64,
    drain_requested_at: Option<Sql<Timestamp>>,
    hung_at: Option<Sql<Timestamp>>,
}

/// The columns that reports change.
#[derive(Queryable, Selectable)]
#[diesel(table_name = routes)]
pub(crate) struct ReportedColumns {
    status: Sql<RouteStatus>,
    health: Sql<RouteHealth>,
    traffic_status: Sql<RouteTraffic>,
    traffic_ratio: f64,
    session_id: String,
    address: String,
    failure: String,
    status_updated_at: Sql<Timestamp>,
    health_updated_at: Option<Sql<Timestamp>>,
    evicted_at: Option<Sql<Timestamp>>,
    health_observed_at: Option<Sql<Timestamp>>,
    health_detail: String,
    once_healthy: bool,
}

impl UnreportedColumns {
    fn columns(rows: Vec<Self>) -> Vec<Column> {
        columns!(rows, UnreportedColumns {
            id, deployment_id, revision_id, created_at, drained_at, retained_at, activation,
            drain_requested_at, hung_at,
        } in routes)
    }
}

impl ReportedColumns {
    fn columns(rows: Vec<Self>) -> Vec<Column> {
        columns!(rows, ReportedColumns {
            status, health, traffic_status, traffic_ratio, session_id, address, failure,
            status_updated_at, health_updated_at, evicted_at, health_observed_at, health_detail,
            once_healthy,
        } in routes)
    }
}

impl From<Route> for RouteRow {
    fn from(route: Route) -> Self {
        let view = route.view;
        Self {
            fixed: UnreportedColumns {
                id: Sql(view.id),
                deployment_id: Sql(route.deployment),
                revision_id: Sql(view.revision),
                created_at: Sql(view.created_at),
                drained_at: view.drained_at.map(Sql),
                retained_at: view.retained_at.map(Sql),
                activation: view.activation,
                drain_requested_at: view.drain_requested_at.map(Sql),
                hung_at: view.hung_at.map(Sql),
            },
            reported: ReportedColumns {
                status: Sql(view.status),
                health: Sql(view.health),
                traffic_status: Sql(view.traffic),
                traffic_ratio: view.traffic.ratio(),
                session_id: route.session_id,
                address: route.address.map_or_else(String::new, |at| at.to_string()),
                failure: route.failure,
                status_updated_at: Sql(view.status_updated_at),
                health_updated_at: view.health_updated_at.map(Sql),
                evicted_at: view.evicted_at.map(Sql),
                health_observed_at: view.health_observed_at.map(Sql),
                health_detail: route.health_detail,
                once_healthy: view.once_healthy,
            },
        }
    }
}

impl From<RouteRow> for Route {
    fn from(row: RouteRow) -> Self {
        let RouteRow { fixed, reported } = row;
        // Earlier programs took any text: what is no address is as good as none.
        let address = RouteAddress::parse(&reported.address).ok();
        Self {
            deployment: fixed.deployment_id.0,
            view: ObservedRoute {
                id: fixed.id.0,
                revision: fixed.revision_id.0,
                status: reported.status.0,
                health: reported.health.0,
                traffic: reported.traffic_status.0,
                activation: fixed.activation,
                created_at: fixed.created_at.0,
                status_updated_at: reported.status_updated_at.0,
                health_updated_at: reported.health_updated_at.map(|Sql(at)| at),
                drained_at: fixed.drained_at.map(|Sql(at)| at),
                retained_at: fixed.retained_at.map(|Sql(at)| at),
                evicted_at: reported.evicted_at.map(|Sql(at)| at),
                has_address: address.is_some(),
                once_healthy: reported.once_healthy,
                health_observed_at: reported.health_observed_at.map(|Sql(at)| at),
                drain_requested_at: fixed.drain_requested_at.map(|Sql(at)| at),
                hung_at: fixed.hung_at.map(|Sql(at)| at),
            },
            session_id: reported.session_id,
            address,
            failure: reported.failure,
            health_detail: reported.health_detail,
        }
    }
}
