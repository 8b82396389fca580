//! Deployments: the row, and the statements on it.

mod list;
mod lock;
mod names;
mod old;
mod row;
mod state_counts;
mod summaries;
mod try_row;

use std::mem;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{Column, RoundTrip, Write, load, pipeline, selected, with_conn};
use viridian_strategy::{Blocker, BlockerCode, DeploymentId, Timestamp};

pub(crate) use self::lock::LockedRows;
use self::row::{DeploymentRow, ImmutableColumns, MutableColumns};
pub use self::{
    list::{DeploymentFilter, DeploymentLabels},
    names::DeploymentName,
    state_counts::StateCounts,
    summaries::DeploymentPlace,
};
use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{CommitId, Deployment, OpenEntries, TableContent, TableLine, TableShares},
    schema::{assignments, deployments, routes},
    types::{Json, Sql, timestamp},
};

/// A deployment that a transaction has locked, with what only it may see.
pub(crate) struct LockedDeployment {
    pub(crate) deployment: Deployment,
    pub(crate) table: TableContent,
    /// The set of changes that made the table.
    pub(crate) table_commit: Option<CommitId>,
    pub(crate) open_entries: OpenEntries,
    pub(crate) due_at: Option<Timestamp>,
}

impl StoreConnection {
    /// Gives when the next deployment is due, or has been for the longest time;
    /// and what time it is.
    pub(crate) async fn next_due(
        &mut self,
        round_trip: RoundTrip,
    ) -> Result<(Option<Timestamp>, Timestamp), StoreError> {
        let (due, now): (Vec<Option<Sql<Timestamp>>>, _) = pipeline!(
            self,
            round_trip,
            deployments::table
                // As in the partial index, which is not used otherwise. On SQLite, NULL also sorts
                // first.
                .filter(deployments::due_at.is_not_null())
                .order(deployments::due_at)
                .limit(1)
                .select(deployments::due_at)
        )?;
        let due = due.into_iter().flatten().next();
        Ok((due.map(|Sql(at)| at), timestamp(now)))
    }

    /// Lists deployments that wait for a time, or whose assignments do, in the order of ids.
    pub(crate) async fn list_waiting(
        &mut self,
        now: Timestamp,
        after: DeploymentId,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = load!(self, {
            let assigned = assignments::table
                .inner_join(routes::table.on(routes::id.eq(assignments::route_id)))
                .filter(assignments::available_at.gt(Sql(now)))
                .select(routes::deployment_id);
            deployments::table
                .filter(deployments::id.gt(Sql(after)))
                .filter(
                    deployments::due_at
                        .gt(Sql(now))
                        .or(deployments::id.eq_any(assigned)),
                )
                .order(deployments::id)
                .limit(limit)
                .select(deployments::id)
        })?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Finds a deployment, alive or not.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_deployment(
        &mut self,
        id: DeploymentId,
    ) -> Result<Option<Deployment>, StoreError> {
        let row: Option<DeploymentRow> = with_conn!(self, |c| deployments::table
            .find(Sql(id))
            .select(selected::<DeploymentRow, Db>())
            .get_result(c))
        .optional()
        .map_err(|error| unreadable(id, error))?;
        row.map(Deployment::try_from).transpose()
    }

    /// Finds the projects of deployments, which never change.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_projects(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, String)>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<(Sql<DeploymentId>, String)> = load!(
            self,
            deployments::table
                .filter(deployments::id.eq_any(ids))
                .select((deployments::id, deployments::project))
        )?;
        Ok(rows.into_iter().map(|(Sql(id), of)| (id, of)).collect())
    }
}

/// A deployment with the sequence that it was decided on, and what only
/// transactions see of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewState {
    pub(crate) deployment: Deployment,
    pub(crate) sequence: i64,
    pub(crate) table: TableContent,
    /// The set of changes that made the table.
    pub(crate) table_commit: Option<CommitId>,
    pub(crate) open_entries: OpenEntries,
    pub(crate) due_at: Option<Timestamp>,
}

/// Writes deployments, each over the one that was read at its sequence.
pub(crate) fn update_deployments(new: Vec<NewState>) -> Write {
    let (mut ids, mut sequences, mut moving) = (Vec::new(), Vec::new(), Vec::new());
    let mut unseen = UnseenColumns::default();
    for mut new in new {
        sequences.push(new.sequence);
        unseen.push(&mut new);
        let row = DeploymentRow::from(new.deployment);
        ids.push(row.fixed.id);
        moving.push(row.moving);
    }
    let same = vec![
        Column::new(deployments::id, ids),
        // A key as well: a row with another sequence is not found, the count is wrong, and the
        // transaction fails.
        Column::new(deployments::sequence, sequences),
    ];
    let mut columns = MutableColumns::columns(moving);
    columns.extend(unseen.columns());
    Write::update("update deployment", "deployments", same).set_each(columns)
}

/// Inserts deployments. Changes no row for one whose name is taken.
pub(crate) fn insert_deployments(new: Vec<NewState>) -> Write {
    let (mut fixed, mut moving, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut unseen = UnseenColumns::default();
    for mut new in new {
        unseen.push(&mut new);
        // A column as well, since no index leads into a document.
        groups.push(new.deployment.metadata.resource_group.clone());
        let row = DeploymentRow::from(new.deployment);
        fixed.push(row.fixed);
        moving.push(row.moving);
    }
    let mut columns = ImmutableColumns::columns(fixed);
    columns.extend(MutableColumns::columns(moving));
    columns.extend(unseen.columns());
    columns.push(Column::new(deployments::resource_group, groups));
    // So a taken name is a wrong count, which names this statement. A violated index would be an
    // error of the database, known only by its text.
    Write::insert(INSERT_DEPLOYMENT, "deployments", columns).on_conflict("ON CONFLICT DO NOTHING")
}

/// The columns that only transactions see.
#[derive(Default)]
struct UnseenColumns {
    endpoints: Vec<Json<Vec<TableLine>>>,
    shares: Vec<Option<Json<TableShares>>>,
    table_commits: Vec<Option<Sql<CommitId>>>,
    open_entries: Vec<Option<Json<OpenEntries>>>,
    /// For the metrics, which would have to read every status otherwise.
    backing_off: Vec<bool>,
    due_at: Vec<Option<Sql<Timestamp>>>,
}

impl UnseenColumns {
    /// Takes them out of a state.
    fn push(&mut self, new: &mut NewState) {
        let TableContent { lines, shares } = mem::take(&mut new.table);
        self.endpoints.push(Json(lines));
        // NULL for nearly all, so that a promotion writes no more than without canaries.
        self.shares
            .push((!shares.is_empty()).then_some(Json(shares)));
        self.table_commits.push(new.table_commit.map(Sql));
        let open = mem::take(&mut new.open_entries);
        // Most have none.
        let open = (!open.0.is_empty()).then_some(Json(open));
        self.open_entries.push(open);
        let mut codes = new.deployment.status.blockers.iter().map(Blocker::code);
        self.backing_off
            .push(codes.any(|code| code == BlockerCode::BackOff));
        self.due_at.push(new.due_at.map(Sql));
    }

    fn columns(self) -> [Column; 6] {
        [
            Column::new(deployments::endpoints, self.endpoints),
            Column::new(deployments::shares, self.shares),
            Column::new(deployments::commit_id, self.table_commits),
            Column::new(deployments::open_entries, self.open_entries),
            Column::new(deployments::backing_off, self.backing_off),
            Column::new(deployments::due_at, self.due_at),
        ]
    }
}

/// Sets when deployments are looked at next, whatever else their rows say.
pub(crate) fn set_due(ids: &[DeploymentId], due_at: Timestamp) -> Write {
    // By id alone, without the sequence: a row that cannot be read is postponed like this.
    let ids = ids.iter().copied().map(Sql).collect();
    Write::update(
        "set due",
        "deployments",
        vec![Column::new(deployments::id, ids)],
    )
    .set_all(deployments::due_at.eq(Some(Sql(due_at))))
}

/// What changes no row when a name is taken.
pub(crate) const INSERT_DEPLOYMENT: &str = "insert deployment";

/// A row that does not even parse is that deployment's fault, not the
/// database's.
fn unreadable(id: DeploymentId, error: diesel::result::Error) -> StoreError {
    match error {
        diesel::result::Error::DeserializationError(_) => does_not_parse(id),
        error => error.into(),
    }
}

fn does_not_parse(id: DeploymentId) -> StoreError {
    StoreError::Corrupt {
        id,
        why: "a column does not parse",
    }
}
