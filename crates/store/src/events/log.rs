//! Reading the log.

use std::collections::BTreeSet;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{load, with_conn};
use viridian_strategy::DeploymentId;

use super::{EventFilter, LogEntry};
use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{CommitId, Deployment, Event, EventKind},
    schema::{deployments, events},
    types::{Sql, TryJson},
};

type Row = (
    i64,
    Sql<DeploymentId>,
    Sql<EventKind>,
    TryJson<Deployment>,
    Option<Sql<CommitId>>,
);

/// Its columns.
const ROW: (
    events::position,
    events::deployment_id,
    events::kind,
    events::snapshot,
    events::commit_id,
) = (
    events::position,
    events::deployment_id,
    events::kind,
    events::snapshot,
    events::commit_id,
);

impl StoreConnection {
    /// Gives the position of the last event that can be seen; 0 when there is
    /// none.
    pub(crate) async fn last_position(&mut self) -> Result<i64, StoreError> {
        let last: Option<i64> = with_conn!(self, |c| events::table
            .select(diesel::dsl::max(events::position))
            .get_result(c))?;
        Ok(last.unwrap_or(0))
    }

    /// Lists the positions after one, in order, each with its deployment.
    pub(crate) async fn list_positions(
        &mut self,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, DeploymentId)>, StoreError> {
        let rows: Vec<(i64, Sql<DeploymentId>)> = load!(
            self,
            events::table
                .filter(events::position.gt(after))
                .order(events::position)
                .limit(limit)
                .select((events::position, events::deployment_id))
        )?;
        Ok(rows.into_iter().map(|(at, Sql(of))| (at, of)).collect())
    }

    /// The same for some ranges of positions, ends included.
    pub(crate) async fn list_positions_within(
        &mut self,
        ranges: &[(i64, i64)],
        limit: i64,
    ) -> Result<Vec<(i64, DeploymentId)>, StoreError> {
        let rows: Vec<(i64, Sql<DeploymentId>)> = load!(self, {
            let mut query = events::table
                // Selects nothing: ranges are added to it by OR.
                .filter(events::position.lt(0))
                .select((events::position, events::deployment_id))
                .into_boxed();
            for (first, last) in ranges {
                query = query.or_filter(events::position.between(*first, *last));
            }
            query.order(events::position).limit(limit)
        })?;
        Ok(rows.into_iter().map(|(at, Sql(of))| (at, of)).collect())
    }

    /// Lists positions after one and up to another, in order, each with its deployment and
    /// project.
    pub(crate) async fn list_log_places(
        &mut self,
        after: i64,
        up_to: i64,
        limit: i64,
    ) -> Result<Vec<(i64, DeploymentId, String)>, StoreError> {
        let rows: Vec<(i64, Sql<DeploymentId>, String)> = load!(
            self,
            events::table
                .inner_join(deployments::table.on(deployments::id.eq(events::deployment_id)))
                .filter(events::position.gt(after))
                .filter(events::position.le(up_to))
                .order(events::position)
                .limit(limit)
                .select((
                    events::position,
                    events::deployment_id,
                    deployments::project
                ))
        )?;
        let places = rows.into_iter();
        Ok(places
            .map(|(at, Sql(id), project)| (at, id, project))
            .collect())
    }

    /// Lists the events at some positions, in order: at most a page of them.
    pub(crate) async fn list_events_at(
        &mut self,
        positions: Vec<i64>,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let rows: Vec<Row> = load!(
            self,
            events::table
                .filter(events::position.eq_any(positions.clone()))
                .order(events::position)
                .select(ROW)
        )?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Lists events after a position and up to another, in order.
    pub(crate) async fn list_events(
        &mut self,
        filter: &EventFilter,
        after: i64,
        up_to: i64,
        limit: i64,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let ids: Vec<_> = filter.deployments.iter().copied().map(Sql).collect();
        let projects = filter.projects.clone();
        let rows: Vec<Row> = load!(self, {
            let mut query = events::table
                .inner_join(deployments::table.on(deployments::id.eq(events::deployment_id)))
                .filter(events::position.gt(after))
                .filter(events::position.le(up_to))
                .select(ROW)
                .into_boxed();
            query = match (ids.is_empty(), projects.is_empty()) {
                (_, true) => query.filter(events::deployment_id.eq_any(ids)),
                (true, false) => query.filter(deployments::project.eq_any(projects)),
                (false, false) => query.filter(
                    events::deployment_id
                        .eq_any(ids)
                        .or(deployments::project.eq_any(projects)),
                ),
            };
            query.order(events::position).limit(limit)
        })?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Gives the last event up to a position of each of some deployments; none
    /// of one that has none so far. In the order of the deployments.
    pub(crate) async fn list_last_events(
        &mut self,
        ids: Vec<DeploymentId>,
        up_to: i64,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        // Most often it is the very last one, which is found at once.
        let rows: Vec<Row> = load!(
            &mut *self,
            events::table
                .inner_join(
                    deployments::table.on(deployments::id
                        .eq(events::deployment_id)
                        .and(deployments::sequence.eq(events::sequence)))
                )
                .filter(deployments::id.eq_any(ids))
                .select(ROW)
        )?;
        let (mut found, later): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.0 <= up_to);
        // These have changed after `up_to`. The last event up to it is the one whose next one is
        // after it.
        if !later.is_empty() {
            let ids: Vec<_> = later.into_iter().map(|row| row.1).collect();
            let next = diesel::alias!(events as next);
            let has_next = next
                .filter(
                    next.field(events::deployment_id)
                        .eq(events::deployment_id)
                        .and(next.field(events::sequence).eq(events::sequence + 1))
                        .and(next.field(events::position).le(up_to)),
                )
                .select(next.field(events::position));
            let earlier: Vec<Row> = load!(
                self,
                events::table
                    .filter(events::deployment_id.eq_any(ids))
                    .filter(events::position.le(up_to))
                    .filter(diesel::dsl::not(diesel::dsl::exists(has_next)))
                    .select(ROW)
            )?;
            found.extend(earlier);
        }
        found.sort_by_key(|row| row.1.0);
        Ok(found.into_iter().map(entry).collect())
    }
}

fn entry((position, Sql(deployment), Sql(kind), TryJson(snapshot), commit): Row) -> LogEntry {
    let event = match snapshot {
        Some(deployment) => Ok(Event {
            kind,
            deployment,
            commit: commit.map(|Sql(id)| id),
        }),
        None => Err(StoreError::Corrupt {
            id: deployment,
            why: "an event does not parse",
        }),
    };
    LogEntry {
        position,
        deployment,
        event,
    }
}

impl StoreConnection {
    /// Lists what sets of deployments have changed after a position of the log: each set with
    /// its members.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn sets_since(
        &mut self,
        position: i64,
    ) -> Result<Vec<(CommitId, DeploymentId)>, StoreError> {
        let rows: Vec<(Option<Sql<CommitId>>, Sql<DeploymentId>)> = load!(
            self,
            events::table
                .filter(events::position.gt(position))
                .filter(events::commit_id.is_not_null())
                .select((events::commit_id, events::deployment_id))
        )?;
        let member = |(commit, Sql(member)): (Option<Sql<CommitId>>, _)| Some((commit?.0, member));
        Ok(rows.into_iter().filter_map(member).collect())
    }
}

/// A transaction that has a lock.
#[derive(QueryableByName)]
struct LockHolder {
    #[diesel(sql_type = diesel::sql_types::Text)]
    virtualtransaction: String,
}

impl StoreConnection {
    /// Lists the transactions that write events and have not ended. None on SQLite, where
    /// they are not needed.
    pub(crate) async fn event_writers(&mut self) -> Result<Option<BTreeSet<String>>, StoreError> {
        if self.commits_in_order() {
            return Ok(None);
        }
        let query = diesel::sql_query(EVENT_WRITERS);
        let holders: Vec<LockHolder> = load!(self, query.clone())?;
        let names = holders.into_iter().map(|it| it.virtualtransaction);
        Ok(Some(names.collect()))
    }
}

// `pg_locks` shows the locks of all databases of the server, where another table may have the same
// oid.
const EVENT_WRITERS: &str = "SELECT virtualtransaction FROM pg_locks \
     WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND relation = 'events'::regclass";
