//! Revisions: the row, and the statements on it.

use std::collections::{HashMap, HashSet};

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{
    Cacheable as _, Write, columns, load, pad_to_power_of_two, selected, with_conn,
};
use viridian_strategy::{DeploymentId, RevisionId, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{Revision, RevisionReference, RevisionSpec},
    row_count::expect_rows,
    schema::revisions,
    types::{Json, Sql},
};

impl StoreConnection {
    /// Finds a revision of a deployment.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_revision(
        &mut self,
        deployment: DeploymentId,
        reference: RevisionReference,
    ) -> Result<Option<Revision>, StoreError> {
        let row: Option<RevisionRow> = with_conn!(self, |c| {
            let query = revisions::table
                .filter(revisions::deployment_id.eq(Sql(deployment)))
                .select(selected::<RevisionRow, Db>())
                .into_boxed();
            let query = match reference {
                RevisionReference::Id(id) => query.filter(revisions::id.eq(Sql(id))),
                RevisionReference::Number(number) => query.filter(revisions::number.eq(number)),
            };
            query.get_result(c)
        })
        .optional()?;
        Ok(row.map(Revision::from))
    }

    /// Finds the revisions of numbers, each of its deployment, in one statement for every
    /// [`MAX_NUMBERS`] of them. A number that a deployment does not have is left out.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_revision_ids(
        &mut self,
        numbers: &[(DeploymentId, i64)],
    ) -> Result<HashMap<(DeploymentId, i64), RevisionId>, StoreError> {
        let mut found = HashMap::new();
        for chunk in numbers.chunks(MAX_NUMBERS) {
            let (deployments, of_chunk): (Vec<_>, Vec<_>) =
                chunk.iter().map(|&(id, number)| (Sql(id), number)).unzip();
            let deployments = pad_to_power_of_two(deployments);
            let of_chunk = pad_to_power_of_two(of_chunk);
            let rows: Vec<(Sql<DeploymentId>, i64, Sql<RevisionId>)> = load!(
                self,
                revisions::table
                    .filter(revisions::deployment_id.eq_any(deployments.clone()))
                    .filter(revisions::number.eq_any(of_chunk.clone()))
                    .select((revisions::deployment_id, revisions::number, revisions::id))
                    .cached()
            )?;
            // Also the numbers of one deployment in another, which were not asked for.
            let wanted: HashSet<_> = chunk.iter().copied().collect();
            let rows = rows
                .into_iter()
                .map(|(Sql(deployment), number, Sql(id))| ((deployment, number), id));
            found.extend(rows.filter(|(number, _)| wanted.contains(number)));
        }
        Ok(found)
    }

    /// Finds a revision of whatever deployment.
    pub(crate) async fn find_revision_by_id(
        &mut self,
        id: RevisionId,
    ) -> Result<Option<Revision>, StoreError> {
        let row: Option<RevisionRow> = with_conn!(self, |c| revisions::table
            .find(Sql(id))
            .select(selected::<RevisionRow, Db>())
            .get_result(c))
        .optional()?;
        Ok(row.map(Revision::from))
    }

    /// Finds revisions of whatever deployments.
    pub(crate) async fn find_revisions_by_id(
        &mut self,
        ids: Vec<RevisionId>,
    ) -> Result<Vec<Revision>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<RevisionRow> = load!(
            self,
            revisions::table
                .filter(revisions::id.eq_any(ids))
                .select(selected::<RevisionRow, Db>())
        )?;
        Ok(rows.into_iter().map(Revision::from).collect())
    }

    /// Lists revisions of a deployment, newest first, whose numbers are below one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_revisions(
        &mut self,
        deployment: DeploymentId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        let before = before.unwrap_or(i64::MAX);
        let rows: Vec<RevisionRow> = load!(
            self,
            revisions::table
                .filter(revisions::deployment_id.eq(Sql(deployment)))
                .filter(revisions::number.lt(before))
                .order(revisions::number.desc())
                .limit(i64::from(limit))
                .select(selected::<RevisionRow, Db>())
        )?;
        Ok(rows.into_iter().map(Revision::from).collect())
    }

    /// Lists the revisions of a deployment up to a number, oldest first.
    pub(crate) async fn list_old_revisions(
        &mut self,
        deployment: DeploymentId,
        last: i64,
    ) -> Result<Vec<RevisionId>, StoreError> {
        let ids: Vec<Sql<RevisionId>> = load!(
            self,
            revisions::table
                .filter(revisions::deployment_id.eq(Sql(deployment)))
                .filter(revisions::number.le(last))
                .order(revisions::number)
                .select(revisions::id)
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Deletes revisions that nothing names any more.
    pub(crate) async fn delete_revisions(
        &mut self,
        ids: Vec<RevisionId>,
    ) -> Result<usize, StoreError> {
        let count = ids.len();
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let deleted = with_conn!(self, |c| diesel::delete(revisions::table)
            .filter(revisions::id.eq_any(ids))
            .execute(c))?;
        // They were listed under the lock of their deployment. A missing one means that the
        // decision to delete them rests on rows that have changed.
        expect_rows("delete revisions", count, deleted)?;
        Ok(deleted)
    }
}

/// How many numbers one statement looks for: more than a set has members.
const MAX_NUMBERS: usize = 64;

/// Inserts a revision.
pub(crate) fn insert_revisions(revisions: impl IntoIterator<Item = Revision>) -> Write {
    let rows = revisions.into_iter().map(RevisionRow::from);
    let columns = columns!(rows, RevisionRow {
        id, deployment_id, number, spec, created_at, created_by,
    } in revisions);
    Write::insert("insert revision", "revisions", columns)
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = revisions)]
pub(crate) struct RevisionRow {
    id: Sql<RevisionId>,
    deployment_id: Sql<DeploymentId>,
    number: i64,
    spec: Json<RevisionSpec>,
    created_at: Sql<Timestamp>,
    created_by: String,
}

impl From<Revision> for RevisionRow {
    fn from(revision: Revision) -> Self {
        Self {
            id: Sql(revision.id),
            deployment_id: Sql(revision.deployment),
            number: revision.number,
            spec: Json(revision.spec),
            created_at: Sql(revision.created_at),
            created_by: revision.created_by,
        }
    }
}

impl From<RevisionRow> for Revision {
    fn from(row: RevisionRow) -> Self {
        Self {
            id: row.id.0,
            deployment: row.deployment_id.0,
            number: row.number,
            spec: row.spec.0,
            created_at: row.created_at.0,
            created_by: row.created_by,
        }
    }
}
