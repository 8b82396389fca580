//! What each project uses, counted in the transactions that change it, and its quotas.
//!
//! A row of a project is written last in a transaction: it is locked for no longer than the
//! COMMIT takes, and transactions that wait for it have all their other locks. A quota is a
//! condition of that write, so that two callers at the same time do not get past it together.

use std::{collections::BTreeMap, fmt, sync::Arc};

use diesel::{
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Nullable},
};
use diesel_async::RunQueryDsl;
use viridian_engine::{Write, columns, load, with_conn};
use viridian_strategy::{
    DeploymentId, Lifecycle, ProjectQuota, ProjectUsage, QuotaResource, RevisionId,
};

use crate::{
    connection::StoreConnection,
    deployments::DeploymentLabels,
    error::{QuotaExcess, StoreError},
    record::{Deployment, RevisionSpec},
    schema::{deployments, project_usage, revisions},
    types::{Json, Sql, TryJson},
};

/// Says what a project may use, each time that it asks for more.
#[derive(Clone, Default)]
pub struct QuotaSource(Option<Arc<QuotaOf>>);

/// Returns the quota of a project.
type QuotaOf = dyn Fn(&str) -> ProjectQuota + Send + Sync;

impl QuotaSource {
    /// One that asks a function, which may give another answer each time.
    pub fn new(quota_of: impl Fn(&str) -> ProjectQuota + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(quota_of)))
    }

    /// Returns the quota of a project.
    pub fn of(&self, project: &str) -> ProjectQuota {
        self.0
            .as_ref()
            .map_or_else(ProjectQuota::default, |it| it(project))
    }
}

impl fmt::Debug for QuotaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("QuotaSource").finish_non_exhaustive()
    }
}

/// How what projects use changes in a transaction.
#[derive(Debug, Default)]
pub(crate) struct UsageChanges(BTreeMap<String, ProjectUsage>);

/// A change that a quota may refuse.
#[derive(Clone, Debug)]
pub(crate) struct LimitedChange {
    pub(crate) project: String,
    pub(crate) quota: ProjectQuota,
    pub(crate) change: ProjectUsage,
}

impl LimitedChange {
    /// Refuses the change beside what is used.
    pub(crate) fn check(&self, used: &ProjectUsage) -> Result<(), StoreError> {
        let violations = self.quota.violations(used, &self.change);
        if violations.is_empty() {
            return Ok(());
        }
        Err(StoreError::OverQuota(QuotaExcess {
            project: self.project.clone(),
            violations,
        }))
    }
}

impl UsageChanges {
    pub(crate) fn add(&mut self, project: &str, change: ProjectUsage) {
        if change == ProjectUsage::default() {
            return;
        }
        // Looked up first: most projects are there, and need no copy of the name.
        match self.0.get_mut(project) {
            Some(sum) => *sum = sum.plus(change),
            None => drop(self.0.insert(project.to_owned(), change)),
        }
    }

    /// Returns the changes that a quota may refuse.
    pub(crate) fn limited(&self, quotas: &QuotaSource) -> Vec<LimitedChange> {
        let changes = self.0.iter();
        let limited = changes.filter_map(|(project, &change)| {
            let quota = quotas.of(project);
            quota.limits(&change).then(|| LimitedChange {
                project: project.clone(),
                quota,
                change,
            })
        });
        limited.collect()
    }

    /// Returns what is written: one statement for all projects without a quota that matters,
    /// and one for each of the others.
    pub(crate) fn writes(self, limited: &[LimitedChange]) -> Vec<Write> {
        let is_limited = |project: &String| limited.iter().any(|it| it.project == *project);
        // In the order of their names, so that two transactions which lock the same rows cannot
        // deadlock.
        let free = self
            .0
            .into_iter()
            .filter(|(project, _)| !is_limited(project));
        let mut writes = vec![count(free.map(UsageRow::from))];
        writes.extend(limited.iter().map(|it| {
            let room = |resource| it.quota.room_for(&it.change, resource).unwrap_or(i64::MAX);
            // On the row as it is once it is locked: what another transaction has added meanwhile
            // counts. A project without a row uses nothing, and was checked before.
            let row = UsageRow::from((it.project.clone(), it.change));
            count([row]).only_if(
                project_usage::deployments
                    .le(room(QuotaResource::Deployments))
                    .and(project_usage::replicas.le(room(QuotaResource::Replicas)))
                    .and(project_usage::revisions.le(room(QuotaResource::Revisions)))
                    .and(project_usage::bytes.le(room(QuotaResource::Bytes))),
            )
        }));
        writes
    }
}

/// Adds to what projects use.
fn count(rows: impl IntoIterator<Item = UsageRow>) -> Write {
    let columns = columns!(rows, UsageRow {
        project, deployments, replicas, revisions, bytes,
    } in project_usage);
    Write::insert(COUNT_USAGE, "project_usage", columns).on_conflict(
        "ON CONFLICT (project) DO UPDATE SET \
         deployments = project_usage.deployments + excluded.deployments, \
         replicas = project_usage.replicas + excluded.replicas, \
         revisions = project_usage.revisions + excluded.revisions, \
         bytes = project_usage.bytes + excluded.bytes",
    )
}

/// The statement that changes no row when a quota does not allow it.
pub(crate) const COUNT_USAGE: &str = "count usage";

/// What a deployment itself adds to the usage of its project.
pub(crate) fn usage_of_deployment(deployment: &Deployment) -> ProjectUsage {
    let metadata = Json::length(&deployment.metadata);
    let live = usage_while_live(deployment);
    ProjectUsage {
        bytes: bytes_of_labels(&deployment.labels) + metadata,
        ..live
    }
}

/// How what a deployment itself uses changes. Its metadata never does.
pub(crate) fn usage_change(old: &Deployment, new: &Deployment) -> ProjectUsage {
    let change = usage_while_live(new).plus(usage_while_live(old).negated());
    // Few changes change labels, and every change comes by here.
    if old.labels == new.labels {
        return change;
    }
    let bytes = bytes_of_labels(&new.labels) - bytes_of_labels(&old.labels);
    ProjectUsage { bytes, ..change }
}

/// What a revision adds to the usage of its project.
pub(crate) fn usage_of_revision(spec: &RevisionSpec) -> ProjectUsage {
    ProjectUsage {
        revisions: 1,
        bytes: Json::length(spec),
        ..ProjectUsage::default()
    }
}

/// What is given back with the name: as soon as its end begins.
fn usage_while_live(deployment: &Deployment) -> ProjectUsage {
    match deployment.state.lifecycle() {
        Lifecycle::Destroying | Lifecycle::Destroyed => ProjectUsage::default(),
        Lifecycle::Pending | Lifecycle::Ready | Lifecycle::Deploying => ProjectUsage {
            deployments: 1,
            replicas: deployment.target_replicas.into(),
            ..ProjectUsage::default()
        },
    }
}

/// Without the marks of JSON: those differ between programs, and labels are written again with
/// each change of their deployment.
fn bytes_of_labels(labels: &DeploymentLabels) -> i64 {
    let bytes: usize = labels
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl StoreConnection {
    /// Finds what a project uses.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_usage(&mut self, project: &str) -> Result<ProjectUsage, StoreError> {
        let project = project.to_owned();
        let row: Option<UsageRow> =
            with_conn!(self, |c| project_usage::table.find(project).get_result(c)).optional()?;
        Ok(row.map(|row| row.usage()).unwrap_or_default())
    }

    /// Lists what projects use, in the order of their names.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_usage(
        &mut self,
        limit: i64,
    ) -> Result<Vec<(String, ProjectUsage)>, StoreError> {
        let rows: Vec<UsageRow> = load!(
            self,
            project_usage::table
                .order(project_usage::project)
                .limit(limit)
        )?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|row| {
                let usage = row.usage();
                (row.project, usage)
            })
            .collect())
    }

    /// Counts again what projects use.
    pub(crate) async fn recount_usage(&mut self) -> Result<(), StoreError> {
        let statements = match self.commits_in_order() {
            true => include_str!("usage/sqlite.sql"),
            false => include_str!("usage/postgres.sql"),
        };
        self.execute(statements).await
    }

    /// Sums up what some revisions of a deployment use; all of them if none are named.
    pub(crate) async fn measure_revisions(
        &mut self,
        deployment: DeploymentId,
        ids: Option<&[RevisionId]>,
    ) -> Result<ProjectUsage, StoreError> {
        let ids: Option<Vec<_>> = ids.map(|ids| ids.iter().copied().map(Sql).collect());
        let (revisions, bytes): (i64, Option<i64>) = with_conn!(self, |c| {
            let mut query = revisions::table
                .filter(revisions::deployment_id.eq(Sql(deployment)))
                .select((
                    diesel::dsl::count_star(),
                    // As the row has it, which an earlier program may have written.
                    sql::<Nullable<BigInt>>("SUM(octet_length(spec))"),
                ))
                .into_boxed();
            if let Some(ids) = ids {
                query = query.filter(revisions::id.eq_any(ids));
            }
            query.get_result(c)
        })?;
        Ok(ProjectUsage {
            revisions,
            bytes: bytes.unwrap_or_default(),
            ..ProjectUsage::default()
        })
    }

    /// Sums up what a DESTROYED deployment uses with all its revisions. None if it is not there.
    pub(crate) async fn measure_tombstone(
        &mut self,
        id: DeploymentId,
    ) -> Result<Option<(String, ProjectUsage)>, StoreError> {
        type Row = (String, TryJson<DeploymentLabels>, i64);
        let row: Option<Row> = with_conn!(&mut *self, |c| deployments::table
            .find(Sql(id))
            .filter(deployments::lifecycle.eq(Sql(Lifecycle::Destroyed)))
            .select((
                deployments::project,
                deployments::labels,
                sql::<BigInt>("CAST(octet_length(metadata) AS bigint)"),
            ))
            .get_result(c))
        .optional()?;
        let Some((project, TryJson(labels), metadata)) = row else {
            return Ok(None);
        };
        let revisions = self.measure_revisions(id, None).await?;
        let own = ProjectUsage {
            bytes: labels.map_or(0, |it| bytes_of_labels(&it)) + metadata,
            ..ProjectUsage::default()
        };
        Ok(Some((project, own.plus(revisions))))
    }
}

#[derive(Queryable)]
struct UsageRow {
    project: String,
    deployments: i64,
    replicas: i64,
    revisions: i64,
    bytes: i64,
}

impl UsageRow {
    fn usage(&self) -> ProjectUsage {
        ProjectUsage {
            deployments: self.deployments,
            replicas: self.replicas,
            revisions: self.revisions,
            bytes: self.bytes,
        }
    }
}

impl From<(String, ProjectUsage)> for UsageRow {
    fn from((project, usage): (String, ProjectUsage)) -> Self {
        let ProjectUsage {
            deployments,
            replicas,
            revisions,
            bytes,
        } = usage;
        Self {
            project,
            deployments,
            replicas,
            revisions,
            bytes,
        }
    }
}
