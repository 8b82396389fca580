//! Traffic tables: which routes serve, as a deployment's row has it.

use std::collections::HashMap;

use diesel::prelude::*;
use viridian_engine::{load, pad_to_power_of_two, selected};
use viridian_strategy::{
    DeploymentId, FULL_WEIGHT, Lifecycle, RevisionId, RevisionWeight, RouteHealth, RouteId,
    RouteStatus, RouteTraffic,
};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{
        CommitId, PreviewEndpoint, Projects, Protocol, TableLine, TableShares, TrafficEndpoint,
        TrafficTable, WeightedRevision, split_seed,
    },
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

#[derive(Queryable, Selectable)]
#[diesel(table_name = deployments)]
struct TableRow {
    id: Sql<DeploymentId>,
    project: String,
    name: String,
    protocol: Sql<Protocol>,
    epoch: i64,
    lifecycle: Sql<Lifecycle>,
    current_revision_id: Option<Sql<RevisionId>>,
    deploying_revision_id: Option<Sql<RevisionId>>,
    rollout_number: i64,
    weight_permille: Option<i32>,
    endpoints: Json<Vec<TableLine>>,
    shares: Option<Json<TableShares>>,
    commit_id: Option<Sql<CommitId>>,
}

impl TableRow {
    /// Its row keeps the current revision until the end, and its traffic table has none.
    fn served_revision(&self) -> Option<RevisionId> {
        let gone = matches!(
            self.lifecycle.0,
            Lifecycle::Destroying | Lifecycle::Destroyed
        );
        let Sql(revision) = self.current_revision_id.filter(|_| !gone)?;
        Some(revision)
    }

    /// What a share was asked for: the rest is the current revision's.
    fn weighted(&self, share: RevisionWeight) -> WeightedRevision {
        let deploying = self.deploying_revision_id.map(|Sql(id)| id);
        // A CHECK keeps it from 0 to 999.
        let asked = self.weight_permille.and_then(|it| u16::try_from(it).ok());
        let asked = asked.unwrap_or_default().min(FULL_WEIGHT);
        WeightedRevision {
            revision: share.revision,
            asked: match Some(share.revision) == deploying {
                true => asked,
                false => FULL_WEIGHT - asked,
            },
            weight: share.permille,
        }
    }

    fn table(
        self,
        revisions: &HashMap<RouteId, RevisionId>,
        preview: Vec<PreviewEndpoint>,
    ) -> TrafficTable {
        let revision = self.served_revision();
        let shares = self.shares.as_ref();
        let weights = shares.map_or(&[][..], |Json(shares)| &shares.weights);
        let weights: Vec<_> = weights.iter().map(|share| self.weighted(*share)).collect();
        // A line does not name its revision: it would be larger by half, at each promotion.
        let endpoint = |line: TableLine| TrafficEndpoint {
            route: line.route,
            revision: revisions.get(&line.route).copied(),
            address: line.address,
            ratio: line.ratio,
        };
        let Sql(deployment) = self.id;
        // Only with shares: a table of one epoch says the same of the traffic at all times.
        let split_seed = match weights.is_empty() {
            true => 0,
            false => split_seed(deployment, self.rollout_number),
        };
        TrafficTable {
            deployment,
            project: self.project,
            name: self.name,
            protocol: self.protocol.0,
            epoch: self.epoch,
            revision,
            endpoints: self.endpoints.0.into_iter().map(endpoint).collect(),
            weights,
            deploying: self.deploying_revision_id.map(|Sql(id)| id),
            preview,
            split_seed,
            commit: self.commit_id.map(|Sql(id)| id),
        }
    }
}

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
                .select(selected::<TableRow, Db>())
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
        self.complete_tables(rows).await
    }

    /// Adds what is not kept with a row: the revisions of its lines, and the preview.
    async fn complete_tables(
        &mut self,
        rows: Vec<TableRow>,
    ) -> Result<Vec<TrafficTable>, StoreError> {
        let lines = rows.iter().flat_map(|row| &row.endpoints.0);
        let ids = lines.map(|line| line.route).collect();
        let revisions = self.find_route_revisions(ids).await?;
        let mut previews = self.find_previews(&rows).await?;
        let rows = rows.into_iter();
        let tables = rows.map(|row| {
            let preview = previews.remove(&row.id.0).unwrap_or_default();
            row.table(&revisions, preview)
        });
        Ok(tables.collect())
    }

    /// Finds the ready routes of deploying revisions that have no traffic, ordered by id.
    ///
    /// They are not kept with the row: each report would write it, and the row of a
    /// promotion would be larger, for what few proxies use.
    async fn find_previews(
        &mut self,
        rows: &[TableRow],
    ) -> Result<HashMap<DeploymentId, Vec<PreviewEndpoint>>, StoreError> {
        let deploying = rows
            .iter()
            .filter_map(|row| Some((row.id, row.deploying_revision_id?)));
        let (ids, revisions): (Vec<_>, Vec<_>) = deploying.unzip();
        let mut found: HashMap<DeploymentId, Vec<PreviewEndpoint>> = HashMap::new();
        for (ids, revisions) in ids.chunks(MAX_PREVIEWS).zip(revisions.chunks(MAX_PREVIEWS)) {
            let ids = pad_to_power_of_two(ids.to_vec());
            let revisions = pad_to_power_of_two(revisions.to_vec());
            let ready: Vec<(Sql<DeploymentId>, Sql<RouteId>, String)> = load!(
                self,
                routes::table
                    // First the one that has an index.
                    .filter(routes::deployment_id.eq_any(ids))
                    .filter(routes::revision_id.eq_any(revisions))
                    .filter(routes::traffic_status.eq(Sql(RouteTraffic::Inactive)))
                    .filter(routes::status.eq(Sql(RouteStatus::Running)))
                    .filter(routes::health.eq(Sql(RouteHealth::Healthy)))
                    .filter(routes::address.ne(""))
                    .filter(routes::retained_at.is_null())
                    .order(routes::id)
                    .select((routes::deployment_id, routes::id, routes::address))
            )?;
            for (Sql(deployment), Sql(route), address) in ready {
                let preview = found.entry(deployment).or_default();
                preview.push(PreviewEndpoint { route, address });
            }
        }
        Ok(found)
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

/// Deployments in one statement, each of which has two ids.
const MAX_PREVIEWS: usize = MAX_IDS / 2;
