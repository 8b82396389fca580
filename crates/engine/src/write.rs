//! What a transaction writes, as values: one for each kind of statement, for any number of
//! rows. Each checks how many rows it changed.
//!
//! A transaction collects them and runs them at its end. On SQLite a statement costs no
//! round trip, so they run one by one. On PostgreSQL all of them are *one* statement.
//!
//! PostgreSQL gets COMMIT right after that statement, without waiting for its result. That
//! is safe because the statement checks its own row counts: a wrong one fails it and aborts
//! the transaction, and then COMMIT rolls back. Several statements before COMMIT would not
//! be safe: one that changes too few rows succeeds, and COMMIT keeps the others.

mod column;
mod postgres;
mod row;
mod sqlite;

use std::pin::pin;

use diesel::{AsChangeset, QueryResult, pg::Pg, query_builder::QueryFragment, sqlite::Sqlite};

pub use self::column::Column;
pub(crate) use self::postgres::CommitOutcome;
use crate::{
    error::EngineError,
    fail_point,
    pg_connection::{PgConnection, unanswered, within},
    round_trip::RoundTrip,
    writer::WriterGuard,
};

/// Writes on SQLite, one statement after the other, in one visit to its thread.
pub(crate) async fn write(guard: &mut WriterGuard, writes: Vec<Write>) -> Result<(), EngineError> {
    if writes.is_empty() {
        return Ok(());
    }
    let connection = guard
        .connection()
        .ok_or_else(|| EngineError::Internal("the writer has no connection".into()))?;
    let done = connection.spawn_blocking(move |connection| {
        for write in writes {
            // What was written until then stays in the savepoint, which the caller rolls back.
            if let Err(conflict) = write.check(write.execute(connection)?) {
                return Ok(Err(conflict));
            }
        }
        Ok(Ok(()))
    });
    let done = fail_point!(done.await);
    guard.note(&done);
    done?
}

/// Writes on PostgreSQL and commits, in one round trip.
pub(crate) async fn write_and_commit(
    connection: &mut PgConnection,
    round_trip: RoundTrip,
    writes: Vec<Write>,
) -> QueryResult<CommitOutcome> {
    let (lent, timeout) = connection.lend().ok_or_else(unanswered)?;
    let all = async { Ok(postgres::write_and_commit(lent, round_trip, writes).await) };
    let outcome = fail_point!({
        let sent = pin!(all);
        within(timeout, sent).await
    })?;
    // COMMIT was sent last: once it is answered, all statements before it are.
    connection.take_back(&outcome.committed);
    connection.note(&outcome.written);
    Ok(outcome)
}

/// One kind of statement, for some rows of one table.
pub struct Write {
    /// What it does, for error texts.
    what: &'static str,
    table: &'static str,
    rows: usize,
    /// How many rows it must change; None if any number is right.
    expected: Option<i64>,
    verb: WriteVerb,
}

enum WriteVerb {
    Insert {
        columns: Vec<Column>,
        /// The end of the statement: what happens to existing rows.
        conflict: &'static str,
        /// A condition on existing rows: others are not changed.
        guard: Option<Box<dyn SqlFragment>>,
    },
    Update {
        /// The rows with these values are changed.
        keys: Vec<Column>,
        /// The new values, by row.
        columns: Vec<Column>,
        /// The new values of all rows.
        changes: Option<Box<dyn SqlFragment>>,
        /// A condition: other rows are not changed.
        guard: Option<Box<dyn SqlFragment>>,
    },
    Delete {
        keys: Vec<Column>,
    },
}

/// A part of a statement whose text is the same each time.
pub trait SqlFragment: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync {}

impl<F: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync> SqlFragment for F {}

impl Write {
    /// Inserts rows.
    pub fn insert(what: &'static str, table: &'static str, columns: Vec<Column>) -> Self {
        let rows = count(&columns);
        Self {
            what,
            table,
            rows,
            expected: Some(number(rows)),
            verb: WriteVerb::Insert {
                columns,
                conflict: "",
                guard: None,
            },
        }
    }

    /// Sets the end of the statement, for rows whose keys exist.
    pub fn on_conflict(mut self, end: &'static str) -> Self {
        if let WriteVerb::Insert { conflict, .. } = &mut self.verb {
            *conflict = end;
        }
        self
    }

    /// Updates the rows that have the values of the keys.
    pub fn update(what: &'static str, table: &'static str, keys: Vec<Column>) -> Self {
        let rows = count(&keys);
        Self {
            what,
            table,
            rows,
            expected: Some(number(rows)),
            verb: WriteVerb::Update {
                keys,
                columns: Vec::new(),
                changes: None,
                guard: None,
            },
        }
    }

    /// Sets values by row.
    pub fn set_each(mut self, each: Vec<Column>) -> Self {
        if let WriteVerb::Update { columns, .. } = &mut self.verb {
            *columns = each;
        }
        self
    }

    /// Sets the values of all rows.
    pub fn set_all<C>(mut self, all: C) -> Self
    where
        C: AsChangeset,
        C::Changeset: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync + 'static,
    {
        if let WriteVerb::Update { changes, .. } = &mut self.verb {
            *changes = Some(Box::new(all.as_changeset()));
        }
        self
    }

    /// Changes only the rows that meet a condition. Of an insert those are the rows that
    /// exist, which PostgreSQL looks at as they are once it has locked them.
    pub fn only_if<G>(mut self, condition: G) -> Self
    where
        G: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync + 'static,
    {
        if let WriteVerb::Update { guard, .. } | WriteVerb::Insert { guard, .. } = &mut self.verb {
            *guard = Some(Box::new(condition));
        }
        self
    }

    /// Deletes the rows that have the values of the keys. Any number of them is right.
    pub fn delete(what: &'static str, table: &'static str, keys: Vec<Column>) -> Self {
        Self {
            what,
            table,
            rows: count(&keys),
            expected: None,
            verb: WriteVerb::Delete { keys },
        }
    }

    /// Returns whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Checks how many rows were changed.
    fn check(&self, found: usize) -> Result<(), EngineError> {
        match self.expected {
            Some(expected) if expected != number(found) => Err(EngineError::Conflict {
                what: self.what,
                expected: self.rows,
                found,
            }),
            _ => Ok(()),
        }
    }
}

fn count(columns: &[Column]) -> usize {
    columns.first().map_or(0, Column::len)
}

/// PostgreSQL counts rows as `bigint`.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
