//! History: what happened to a deployment, a row a move.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{Column, Write, columns, load, selected, with_conn};
use viridian_strategy::{DeploymentId, Lifecycle, LifecyclePhase, RevisionId, SubStep, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{
        CommitId, FieldChange, HistoryEntry, HistoryOutcome, NewHistoryEntry, OpenEntry, Operation,
        RequestId, RouteEffects, Status,
    },
    schema::{deployments, history},
    types::{Json, Sql},
};

impl StoreConnection {
    /// Lists the history of a deployment, newest first, with numbers below one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_history(
        &mut self,
        deployment: DeploymentId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        // One text for the first page and for all others, so that it is prepared once.
        let before = before.unwrap_or(i64::MAX);
        let rows: Vec<HistoryRow> = load!(
            self,
            history::table
                .filter(history::deployment_id.eq(Sql(deployment)))
                .filter(history::number.lt(before))
                .order(history::number.desc())
                .limit(i64::from(limit))
                .select(selected::<HistoryRow, Db>())
        )?;
        Ok(rows.into_iter().map(HistoryEntry::from).collect())
    }

    /// Lists moves from before a time that are not among the newest `kept` of
    /// their deployment, oldest first in each deployment.
    pub(crate) async fn list_old_moves(
        &mut self,
        before: Timestamp,
        kept: i64,
        limit: i64,
    ) -> Result<Vec<(DeploymentId, i64)>, StoreError> {
        let rows: Vec<(Sql<DeploymentId>, i64)> = load!(
            self,
            history::table
                .inner_join(deployments::table.on(deployments::id.eq(history::deployment_id)))
                .filter(deployments::last_history.gt(kept))
                .filter(history::number.le(deployments::last_history - kept))
                .filter(history::created_at.lt(Sql(before)))
                .order((history::deployment_id, history::number))
                .limit(limit)
                .select((history::deployment_id, history::number))
        )?;
        let entry = |(Sql(deployment), number)| (deployment, number);
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Deletes the moves of a deployment up to one; gives how many there were.
    pub(crate) async fn delete_moves(
        &mut self,
        deployment: DeploymentId,
        last: i64,
    ) -> Result<usize, StoreError> {
        Ok(with_conn!(self, |c| diesel::delete(history::table)
            .filter(history::deployment_id.eq(Sql(deployment)))
            .filter(history::number.le(last))
            .execute(c))?)
    }
}

/// Records moves.
pub(crate) fn insert_moves(moves: Vec<NewHistoryEntry>) -> Write {
    let rows = moves.into_iter().map(HistoryRow::from);
    let columns = columns!(rows, HistoryRow {
        deployment_id, number, phase, result, from_lifecycle, from_sub_step, to_lifecycle,
        to_sub_step, revision_id, actor, reason, request_id, status, changes, attempts,
        routes_created, routes_promoted, routes_drained, route_count, failure, created_at,
        updated_at, weight_permille, commit_id,
    } in history);
    Write::insert("record moves", "history", columns)
}

/// Adds repeats to entries that are there: each deployment with the entry's new numbers.
pub(crate) fn repeat_entries(of: Vec<(DeploymentId, OpenEntry)>) -> Write {
    let keys = vec![
        Column::new(
            history::deployment_id,
            of.iter().map(|(id, _)| Sql(*id)).collect(),
        ),
        Column::new(
            history::number,
            of.iter().map(|(_, entry)| entry.number).collect(),
        ),
    ];
    let rows = of
        .into_iter()
        .map(|(_, entry)| RepeatedColumns::from(entry));
    // Not counted by the database: the deployment's row has the numbers, and is locked.
    let columns = columns!(rows, RepeatedColumns {
        attempts, routes_created, routes_promoted, routes_drained, route_count, updated_at,
    } in history);
    Write::update("repeat entries", "history", keys).set_each(columns)
}

/// The columns that a repeat changes.
struct RepeatedColumns {
    attempts: i32,
    routes_created: i32,
    routes_promoted: i32,
    routes_drained: i32,
    route_count: i32,
    updated_at: Sql<Timestamp>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = history)]
struct HistoryRow {
    deployment_id: Sql<DeploymentId>,
    number: i64,
    phase: Sql<Operation>,
    result: Sql<HistoryOutcome>,
    from_lifecycle: Option<Sql<Lifecycle>>,
    from_sub_step: Option<Sql<SubStep>>,
    to_lifecycle: Sql<Lifecycle>,
    to_sub_step: Option<Sql<SubStep>>,
    revision_id: Option<Sql<RevisionId>>,
    actor: String,
    reason: String,
    request_id: Option<Sql<RequestId>>,
    status: Json<Status>,
    changes: Option<Json<Vec<FieldChange>>>,
    attempts: i32,
    routes_created: i32,
    routes_promoted: i32,
    routes_drained: i32,
    route_count: i32,
    failure: String,
    created_at: Sql<Timestamp>,
    updated_at: Sql<Timestamp>,
    weight_permille: Option<i32>,
    commit_id: Option<Sql<CommitId>>,
}

impl From<OpenEntry> for RepeatedColumns {
    fn from(entry: OpenEntry) -> Self {
        let effects = entry.effects;
        Self {
            attempts: column(entry.attempts),
            routes_created: column(effects.created),
            routes_promoted: column(effects.promoted),
            routes_drained: column(effects.drained),
            route_count: column(entry.count),
            updated_at: Sql(entry.at),
        }
    }
}

/// A count as its column has it. A crash loop may count for years.
fn column(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl From<NewHistoryEntry> for HistoryRow {
    fn from(entry: NewHistoryEntry) -> Self {
        Self {
            deployment_id: Sql(entry.deployment),
            number: entry.number,
            phase: Sql(entry.phase),
            result: Sql(entry.outcome),
            from_lifecycle: entry.from.map(|from| Sql(from.lifecycle)),
            from_sub_step: entry.from.and_then(|from| from.sub_step).map(Sql),
            to_lifecycle: Sql(entry.to.lifecycle),
            to_sub_step: entry.to.sub_step.map(Sql),
            revision_id: entry.revision.map(Sql),
            actor: entry.actor,
            reason: entry.reason,
            request_id: entry.request.map(Sql),
            status: Json(entry.status),
            // Most moves change no setting.
            changes: Some(entry.changes).filter(|it| !it.is_empty()).map(Json),
            attempts: 1,
            routes_created: column(entry.effects.created),
            routes_promoted: column(entry.effects.promoted),
            routes_drained: column(entry.effects.drained),
            route_count: column(entry.count),
            failure: entry.failure,
            created_at: Sql(entry.at),
            updated_at: Sql(entry.at),
            weight_permille: entry.weight_permille.map(i32::from),
            commit_id: entry.commit.map(Sql),
        }
    }
}

impl From<HistoryRow> for HistoryEntry {
    fn from(row: HistoryRow) -> Self {
        let phase = |lifecycle: Sql<Lifecycle>, sub_step: Option<Sql<SubStep>>| LifecyclePhase {
            lifecycle: lifecycle.0,
            sub_step: sub_step.map(|Sql(step)| step),
        };
        let from_sub_step = row.from_sub_step;
        Self {
            deployment: row.deployment_id.0,
            number: row.number,
            phase: row.phase.0,
            outcome: row.result.0,
            from: row
                .from_lifecycle
                .map(|lifecycle| phase(lifecycle, from_sub_step)),
            to: phase(row.to_lifecycle, row.to_sub_step),
            revision: row.revision_id.map(|Sql(id)| id),
            actor: row.actor,
            reason: row.reason,
            request: row.request_id.map(|Sql(id)| id),
            commit: row.commit_id.map(|Sql(id)| id),
            status: row.status.0,
            changes: row.changes.map(|Json(it)| it).unwrap_or_default(),
            attempts: row.attempts.cast_unsigned(),
            effects: RouteEffects {
                created: row.routes_created.cast_unsigned(),
                promoted: row.routes_promoted.cast_unsigned(),
                drained: row.routes_drained.cast_unsigned(),
            },
            count: row.route_count.cast_unsigned(),
            failure: row.failure,
            weight_permille: row.weight_permille.and_then(|it| u16::try_from(it).ok()),
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
        }
    }
}
