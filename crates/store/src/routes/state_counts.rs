//! The number of routes: of each kind for the metrics, and of some deployments.

use diesel::{dsl::count_star, prelude::*};
use viridian_engine::{Cacheable as _, load, pad_to_power_of_two};
use viridian_strategy::{DeploymentId, RouteHealth, RouteStatus, RouteTraffic};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::CountBy,
    schema::{deployments, routes},
    types::Sql,
};

/// The routes in one state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStateCounts {
    /// The project, if each is counted; otherwise empty.
    pub project: String,
    /// Their lifecycle.
    pub status: RouteStatus,
    /// Their health.
    pub health: RouteHealth,
    /// Whether they take traffic.
    pub traffic: RouteTraffic,
    /// How many there are.
    pub count: i64,
}

type StateRow = (Sql<RouteStatus>, Sql<RouteHealth>, Sql<RouteTraffic>, i64);

impl StoreConnection {
    /// Counts the routes of deployments that have not ended.
    pub(crate) async fn count_live_routes(
        &mut self,
        ids: &[DeploymentId],
    ) -> Result<i64, StoreError> {
        // Padded, and cached by its text: on SQLite the list is a part of that.
        let ids = pad_to_power_of_two(ids.iter().copied().map(Sql).collect());
        let over = [
            Sql(RouteStatus::Terminated),
            Sql(RouteStatus::FailedToStart),
        ];
        let counts: Vec<i64> = load!(
            self,
            routes::table
                .filter(routes::deployment_id.eq_any(ids.clone()))
                .filter(routes::status.ne_all(over))
                .count()
                .cached()
        )?;
        Ok(counts.into_iter().sum())
    }

    /// Counts all routes that are not over, by their three statuses. It looks at each of
    /// them.
    pub(crate) async fn count_routes(
        &mut self,
        by: CountBy,
    ) -> Result<Vec<RouteStateCounts>, StoreError> {
        let statuses = (routes::status, routes::health, routes::traffic_status);
        let (status, health, traffic) = statuses;
        // Not as a list: SQLite would prepare a statement with a list again for each row.
        let is_live = status
            .ne(Sql(RouteStatus::Terminated))
            .and(status.ne(Sql(RouteStatus::FailedToStart)));
        match by {
            CountBy::All => {
                let rows: Vec<StateRow> = load!(
                    self,
                    routes::table.filter(is_live).group_by(statuses).select((
                        status,
                        health,
                        traffic,
                        count_star()
                    ))
                )?;
                let counts = rows.into_iter();
                let counts = counts.map(|row| RouteStateCounts::of(String::new(), row));
                Ok(counts.collect())
            }
            CountBy::Project => {
                let project = deployments::project;
                let rows: Vec<(String, StateRow)> = load!(
                    self,
                    routes::table
                        .inner_join(
                            deployments::table.on(deployments::id.eq(routes::deployment_id))
                        )
                        .filter(is_live)
                        .group_by((project, status, health, traffic))
                        .select((project, (status, health, traffic, count_star())))
                )?;
                let counts = rows.into_iter();
                let counts = counts.map(|(project, row)| RouteStateCounts::of(project, row));
                Ok(counts.collect())
            }
        }
    }
}

impl RouteStateCounts {
    fn of(project: String, (status, health, traffic, count): StateRow) -> Self {
        Self {
            project,
            status: status.0,
            health: health.0,
            traffic: traffic.0,
            count,
        }
    }
}
