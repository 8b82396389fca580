//! The routes of a resource group.

use diesel::prelude::*;
use viridian_engine::{load, selected};
use viridian_strategy::{DeploymentId, RouteStatus, Timestamp};

use super::RouteRow;
use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{GroupRoutePosition, Projects, Route},
    schema::{deployments, routes},
    types::Sql,
};

/// Which routes of a resource group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRouteFilter {
    /// The group.
    pub resource_group: String,
    /// Only those of these projects.
    pub projects: Projects,
    /// Only those in one of these statuses.
    pub statuses: Vec<RouteStatus>,
    /// Or, whatever their status is, those that have had it since a time.
    pub or_moved_since: Option<Timestamp>,
    /// Only those of these deployments.
    pub deployments: Option<Vec<DeploymentId>>,
}

impl StoreConnection {
    /// Lists routes of a resource group by deployment, oldest first, after one of them.
    pub(crate) async fn list_group_routes(
        &mut self,
        filter: GroupRouteFilter,
        after: Option<GroupRoutePosition>,
        limit: i64,
    ) -> Result<Vec<Route>, StoreError> {
        let statuses: Vec<_> = filter.statuses.into_iter().map(Sql).collect();
        let rows: Vec<RouteRow> = load!(self, {
            let mut query = deployments::table
                .inner_join(routes::table.on(routes::deployment_id.eq(deployments::id)))
                .filter(deployments::resource_group.eq(filter.resource_group))
                .select(selected::<RouteRow, Db>())
                .into_boxed();
            let has_status = routes::status.eq_any(statuses);
            query = match filter.or_moved_since {
                Some(since) => {
                    query.filter(has_status.or(routes::status_updated_at.ge(Sql(since))))
                }
                None => query.filter(has_status),
            };
            if let Some(ids) = filter.deployments {
                let ids: Vec<_> = ids.into_iter().map(Sql).collect();
                query = query.filter(deployments::id.eq_any(ids));
            }
            if let Projects::These(projects) = filter.projects {
                query = query.filter(deployments::project.eq_any(projects));
            }
            if let Some(GroupRoutePosition { deployment, route }) = after {
                // The first condition alone leads into the index on groups.
                let later = deployments::id.gt(Sql(deployment));
                query = query
                    .filter(deployments::id.ge(Sql(deployment)))
                    .filter(later.or(routes::id.gt(Sql(route))));
            }
            // In the order of the indices on groups and on deployments, so that a page needs no
            // sort.
            query.order((deployments::id, routes::id)).limit(limit)
        })?;
        Ok(rows.into_iter().map(Route::from).collect())
    }
}
