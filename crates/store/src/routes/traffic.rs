//! Traffic tables: which routes serve, as a deployment's row has it.

use std::collections::HashMap;

use diesel::prelude::*;
use viridian_engine::{load, pad_to_power_of_two};
use viridian_strategy::{DeploymentId, Lifecycle, RevisionId, RouteId};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{Projects, TableLine, TrafficEndpoint, TrafficTable},
    schema::{deployments, routes},
    types::{Json, Sql},
};

/// Which traffic tables.
#[derive(Clone, Debug)]
pub enum Tables {
    /// Those of these deployments.
    Of(Vec<DeploymentId>),
    /// A page of all tables.
    All {
        /// The last deployment of the page before.
        after: Option<DeploymentId>,
        /// How many at most.
        limit: i64,
    },
}

type TableRow = (
    Sql<DeploymentId>,
    i64,
    Sql<Lifecycle>,
    Option<Sql<RevisionId>>,
    Json<Vec<TableLine>>,
);

impl StoreConnection {
    /// Reads traffic tables, in the order of the deployments' ids.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn traffic_tables(
        &mut self,
        which: Tables,
        projects: Projects,
    ) -> Result<Vec<TrafficTable>, StoreError> {
        let rows: Vec<TableRow> = load!(self, {
            let mut query = deployments::table
                .select((
                    deployments::id,
                    deployments::epoch,
                    deployments::lifecycle,
                    deployments::current_revision_id,
                    deployments::endpoints,
                ))
                .into_boxed();
            if let Projects::These(projects) = projects {
                query = query.filter(deployments::project.eq_any(projects));
            }
            match which {
                Tables::Of(ids) => {
                    let ids: Vec<_> = ids.into_iter().map(Sql).collect();
                    query = query.filter(deployments::id.eq_any(ids));
                }
                Tables::All { after, limit } => {
                    if let Some(after) = after {
                        query = query.filter(deployments::id.gt(Sql(after)));
                    }
                    query = query.limit(limit);
                }
            }
            query.order(deployments::id)
        })?;
        self.with_revisions(rows).await
    }

    async fn with_revisions(
        &mut self,
        rows: Vec<TableRow>,
    ) -> Result<Vec<TrafficTable>, StoreError> {
        let lines = rows.iter().flat_map(|(.., lines)| &lines.0);
        let ids = lines.map(|line| line.route).collect();
        let revisions = self.find_route_revisions(ids).await?;
        let endpoint = |line: TableLine| TrafficEndpoint {
            route: line.route,
            revision: revisions.get(&line.route).copied(),
            address: line.address,
            ratio: line.ratio,
        };
        let table = |(deployment, epoch, lifecycle, revision, lines): TableRow| {
            // Its row keeps the current revision until the end, and its traffic table has none.
            let gone = matches!(lifecycle.0, Lifecycle::Destroying | Lifecycle::Destroyed);
            TrafficTable {
                deployment: deployment.0,
                epoch,
                revision: revision.filter(|_| !gone).map(|Sql(id)| id),
                endpoints: lines.0.into_iter().map(endpoint).collect(),
            }
        };
        Ok(rows.into_iter().map(table).collect())
    }

    /// Finds the revisions of routes, which never change.
    async fn find_route_revisions(
        &mut self,
        ids: Vec<RouteId>,
    ) -> Result<HashMap<RouteId, RevisionId>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let mut found = HashMap::with_capacity(ids.len());
        // In chunks: engines limit the number of parameters.
        for ids in ids.chunks(MAX_IDS) {
            let ids = pad_to_power_of_two(ids.iter().copied().map(Sql).collect());
            let rows: Vec<(Sql<RouteId>, Sql<RevisionId>)> = load!(
                self,
                routes::table
                    .filter(routes::id.eq_any(ids))
                    .select((routes::id, routes::revision_id))
            )?;
            found.extend(
                rows.into_iter()
                    .map(|(Sql(id), Sql(revision))| (id, revision)),
            );
        }
        Ok(found)
    }
}

/// Ids in one statement.
const MAX_IDS: usize = 1_024;
