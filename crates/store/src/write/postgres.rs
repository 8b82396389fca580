//! All of it in one statement, and COMMIT behind it in the same round trip.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Nullable},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::{Column, Write, WriteVerb};
use crate::{
    dialect::{self, Cacheable as _, RoundTrip},
    error::StoreError,
};

/// What became of a statement and the COMMIT behind it.
pub(crate) struct CommitOutcome {
    pub(crate) written: Result<(), StoreError>,
    pub(crate) committed: QueryResult<()>,
}

/// Writes and commits, in one round trip.
pub(super) async fn write_and_commit(
    connection: &AsyncPgConnection,
    round_trip: RoundTrip,
    writes: Vec<Write>,
) -> CommitOutcome {
    let all = CteBatch(writes);
    // In this order: each gets in line for the connection when it is polled.
    let (begun, written, committed) = futures::join!(
        dialect::begin(connection, round_trip),
        all.write(connection),
        dialect::commit(connection),
    );
    CommitOutcome {
        written: begun.map_err(StoreError::from).and(written),
        committed,
    }
}

/// Several writes as one statement that fails where one of them changed another
/// number of rows than it must.
///
/// To PostgreSQL they happen at once: none of them sees what another did.
struct CteBatch(Vec<Write>);

impl CteBatch {
    async fn write(&self, mut connection: &AsyncPgConnection) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let done = self.cached().execute(&mut connection).await;
        done.map(|_| ()).map_err(|error| self.sort_out(error))
    }

    /// Finds the write whose number of rows was wrong, if that is what failed.
    fn sort_out(&self, error: DieselError) -> StoreError {
        if let DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) = &error
            && let Some((_, quoted)) = info.message().split_once('"')
            && let Some((what, found)) = quoted.trim_end_matches('"').rsplit_once(": ")
            && let Some(write) = self.0.iter().find(|write| write.what == what)
            && let Some(Err(stale)) = found.parse().ok().map(|found| write.check(found))
        {
            return stale;
        }
        error.into()
    }
}

impl QueryId for CteBatch {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for CteBatch {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (index, write) in self.0.iter().enumerate() {
            out.push_sql(if index == 0 { "WITH w" } else { ", w" });
            out.push_sql(&index.to_string());
            out.push_sql(" AS (");
            match write.rows {
                // Without arrays, which cost more than what is in them.
                1 => write.walk_row(0, out.reborrow())?,
                _ => write.walk_arrays(out.reborrow())?,
            }
            out.push_sql(" RETURNING 1)");
        }
        // What is no number fails, and is in the error's text.
        out.push_sql(" SELECT CAST(what || ': ' || found AS integer) FROM (VALUES ");
        for (index, write) in self.0.iter().enumerate() {
            out.push_sql(if index == 0 { "('" } else { ", ('" });
            out.push_sql(write.what);
            out.push_sql("', ");
            out.push_bind_param::<Nullable<BigInt>, _>(&write.expected)?;
            out.push_sql(", (SELECT COUNT(*) FROM w");
            out.push_sql(&index.to_string());
            out.push_sql("))");
        }
        out.push_sql(") AS done (what, expected, found) WHERE found <> expected");
        Ok(())
    }
}

impl Write {
    /// All rows at once: an array for each column.
    fn walk_arrays<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match &self.verb {
            WriteVerb::Insert { columns, conflict } => {
                out.push_sql("INSERT INTO ");
                out.push_sql(self.table);
                out.push_sql(" (");
                for (index, column) in columns.iter().enumerate() {
                    comma(index, &mut out);
                    out.push_sql(column.name);
                }
                out.push_sql(") SELECT * FROM ");
                unnest(columns.iter(), out.reborrow())?;
                out.push_sql(" ");
                out.push_sql(conflict);
            }
            WriteVerb::Update {
                keys,
                columns,
                changes,
                guard,
            } => {
                out.push_sql("UPDATE ");
                out.push_sql(self.table);
                out.push_sql(" SET ");
                if let Some(changes) = changes {
                    changes.walk_ast(out.reborrow())?;
                }
                for (index, column) in columns.iter().enumerate() {
                    comma(index + usize::from(changes.is_some()), &mut out);
                    out.push_sql(column.name);
                    out.push_sql(" = given.v");
                    out.push_sql(&(keys.len() + index).to_string());
                }
                out.push_sql(" FROM ");
                unnest(keys.iter().chain(columns), out.reborrow())?;
                self.pick(keys, &mut out)?;
                if let Some(guard) = guard {
                    out.push_sql(" AND (");
                    guard.walk_ast(out.reborrow())?;
                    out.push_sql(")");
                }
            }
            WriteVerb::Delete { keys } => {
                out.push_sql("DELETE FROM ");
                out.push_sql(self.table);
                out.push_sql(" USING ");
                unnest(keys.iter(), out.reborrow())?;
                self.pick(keys, &mut out)?;
            }
        }
        Ok(())
    }

    /// The rows that have the values of the keys.
    fn pick<'b>(&'b self, keys: &[Column], out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        for (index, key) in keys.iter().enumerate() {
            out.push_sql(if index == 0 { " WHERE " } else { " AND " });
            out.push_sql(self.table);
            out.push_sql(".");
            out.push_sql(key.name);
            out.push_sql(" = given.v");
            out.push_sql(&index.to_string());
        }
        Ok(())
    }
}

/// The rows as a table, `given`, of columns `v0`, `v1`, …: one parameter each.
fn unnest<'b>(
    columns: impl Iterator<Item = &'b Column> + Clone,
    mut out: AstPass<'_, 'b, Pg>,
) -> QueryResult<()> {
    out.push_sql("unnest(");
    for (index, column) in columns.clone().enumerate() {
        comma(index, &mut out);
        column.array(out.reborrow())?;
    }
    out.push_sql(") AS given (");
    for (index, _) in columns.enumerate() {
        comma(index, &mut out);
        out.push_sql("v");
        out.push_sql(&index.to_string());
    }
    out.push_sql(")");
    Ok(())
}

fn comma(index: usize, out: &mut AstPass<'_, '_, Pg>) {
    if index > 0 {
        out.push_sql(", ");
    }
}
