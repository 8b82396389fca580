//! What is to be written, as values: one for each kind of statement, however
//! many rows it is about. Each asserts how many rows it changes.
//!
//! A transaction collects them and does them at its end: row by row on SQLite,
//! where a statement costs no round trip, and all of them as *one* statement on
//! PostgreSQL, where it does.
//!
//! On PostgreSQL COMMIT is sent behind that one statement without waiting for
//! it. That is safe because the statement is all or nothing by itself: where a
//! row count is not the expected one it fails, which aborts the transaction, and
//! then COMMIT rolls back. Several statements in front of COMMIT would not do: one
//! that changes too few rows succeeds, and COMMIT would keep the others.

mod column;
mod postgres;
mod row;
mod sqlite;

use std::pin::pin;

use diesel::{AsChangeset, QueryResult, pg::Pg, query_builder::QueryFragment, sqlite::Sqlite};

pub(crate) use self::{
    column::{Column, columns},
    postgres::CommitOutcome,
};
use crate::{
    connection::{PgConnection, answered, unanswered},
    database::WriterGuard,
    dialect::RoundTrip,
    error::StoreError,
    fail_points::fail_point,
};

/// Writes on SQLite, one kind after the other, in one visit to its thread.
pub(crate) async fn write(guard: &mut WriterGuard, writes: Vec<Write>) -> Result<(), StoreError> {
    if writes.is_empty() {
        return Ok(());
    }
    let connection = guard
        .connection()
        .ok_or_else(|| StoreError::Internal("the writer has no connection".into()))?;
    let done = connection.spawn_blocking(move |connection| {
        for write in writes {
            if let Err(stale) = write.check(write.execute(connection)?) {
                return Ok(Err(stale));
            }
        }
        Ok(Ok(()))
    });
    fail_point!(done.await)?
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
        answered(timeout, sent).await
    })?;
    connection.take_back(&outcome.committed);
    Ok(outcome)
}

/// One kind of statement, for some rows of a table.
pub(crate) struct Write {
    /// What it does, for whoever reads that it could not.
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
        /// What is done about rows that are there: the end of the statement.
        conflict: &'static str,
    },
    Update {
        /// Which rows: those with these values.
        keys: Vec<Column>,
        /// What each row gets.
        columns: Vec<Column>,
        /// What all rows get.
        changes: Option<Box<dyn SqlFragment>>,
        /// What must be so of a row, or it is not changed.
        guard: Option<Box<dyn SqlFragment>>,
    },
    Delete {
        keys: Vec<Column>,
    },
}

/// A part of a statement that has the same text each time.
trait SqlFragment: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync {}

impl<F: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync> SqlFragment for F {}

impl Write {
    /// Inserts rows.
    pub(crate) fn insert(what: &'static str, table: &'static str, columns: Vec<Column>) -> Self {
        let rows = count(&columns);
        Self {
            what,
            table,
            rows,
            expected: Some(number(rows)),
            verb: WriteVerb::Insert {
                columns,
                conflict: "",
            },
        }
    }

    /// The same, where rows of the same keys are there.
    pub(crate) fn on_conflict(mut self, end: &'static str) -> Self {
        if let WriteVerb::Insert { conflict, .. } = &mut self.verb {
            *conflict = end;
        }
        self
    }

    /// Updates the rows that have the values of the keys.
    pub(crate) fn update(what: &'static str, table: &'static str, keys: Vec<Column>) -> Self {
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

    /// What each of them gets.
    pub(crate) fn set_each(mut self, each: Vec<Column>) -> Self {
        if let WriteVerb::Update { columns, .. } = &mut self.verb {
            *columns = each;
        }
        self
    }

    /// What all of them get.
    pub(crate) fn set_all<C>(mut self, all: C) -> Self
    where
        C: AsChangeset,
        C::Changeset: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync + 'static,
    {
        if let WriteVerb::Update { changes, .. } = &mut self.verb {
            *changes = Some(Box::new(all.as_changeset()));
        }
        self
    }

    /// What must be so of each of them.
    pub(crate) fn only_if<G>(mut self, condition: G) -> Self
    where
        G: QueryFragment<Pg> + QueryFragment<Sqlite> + Send + Sync + 'static,
    {
        if let WriteVerb::Update { guard, .. } = &mut self.verb {
            *guard = Some(Box::new(condition));
        }
        self
    }

    /// Deletes the rows that have the values of the keys, as many as there are.
    pub(crate) fn delete(what: &'static str, table: &'static str, keys: Vec<Column>) -> Self {
        Self {
            what,
            table,
            rows: count(&keys),
            expected: None,
            verb: WriteVerb::Delete { keys },
        }
    }

    /// Whether it is about no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Asserts how many rows were changed.
    fn check(&self, found: usize) -> Result<(), StoreError> {
        match self.expected {
            Some(expected) if expected != number(found) => Err(StoreError::Conflict {
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

/// As PostgreSQL counts.
fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
