//! All writes in one statement, and COMMIT after it in the same round trip.

use diesel::{
    QueryResult,
    pg::Pg,
    query_builder::{AstPass, QueryFragment, QueryId},
    result::{DatabaseErrorKind, Error as DieselError},
    sql_types::{BigInt, Nullable},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl as _};

use super::{
    Column, Write, WriteVerb,
    row::{push_conflict_guard, push_guard},
};
use crate::{
    error::EngineError,
    round_trip::{RoundTrip, begin, commit},
    statement::Cacheable as _,
};

/// The results of a statement and of the COMMIT after it.
pub(crate) struct CommitOutcome {
    pub(crate) written: Result<(), EngineError>,
    pub(crate) committed: QueryResult<()>,
}

/// Writes and commits, in one round trip.
pub(super) async fn write_and_commit(
    connection: &AsyncPgConnection,
    round_trip: RoundTrip,
    writes: Vec<Write>,
) -> CommitOutcome {
    let all = CteBatch(writes);
    // Each gets its place on the connection when it is first polled, and `join!` polls in
    // this order. COMMIT before the writes would commit each of them by itself.
    let (begun, written, committed) = futures::join!(
        begin(connection, round_trip),
        all.write(connection),
        commit(connection),
    );
    CommitOutcome {
        written: begun.map_err(EngineError::from).and(written),
        committed,
    }
}

/// Several writes as one statement with a common table expression each. It fails if one of
/// them changed a wrong number of rows. None of them sees what another one wrote.
struct CteBatch(Vec<Write>);

impl CteBatch {
    async fn write(&self, mut connection: &AsyncPgConnection) -> Result<(), EngineError> {
        // A transaction that only locked rows writes nothing, and a WITH without a part is no SQL.
        if self.0.is_empty() {
            return Ok(());
        }
        // The text depends on the kinds of the writes, and not on how many rows they have, so that
        // a few statements are prepared.
        let done = self.cached().execute(&mut connection).await;
        done.map(|_| ()).map_err(|error| self.find_conflict(error))
    }

    /// Finds the write that changed a wrong number of rows, if that is why it failed.
    fn find_conflict(&self, error: DieselError) -> EngineError {
        // The message is: invalid input syntax for type integer: "update deployment: 0".
        if let DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) = &error
            && let Some((_, quoted)) = info.message().split_once('"')
            && let Some((what, found)) = quoted.trim_end_matches('"').rsplit_once(": ")
            && let Some(write) = self.0.iter().find(|write| write.what == what)
            && let Some(Err(conflict)) = found.parse().ok().map(|found| write.check(found))
        {
            return conflict;
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
                // Without arrays: one costs more than a single value.
                1 => write.walk_row(0, out.reborrow())?,
                _ => write.walk_arrays(out.reborrow())?,
            }
            // The counts below read this. PostgreSQL refuses to read a write that returns nothing.
            out.push_sql(" RETURNING 1)");
        }
        // A wrong count is cast to a number: that fails, and its text is in the error.
        out.push_sql(" SELECT CAST(what || ': ' || found AS integer) FROM (VALUES ");
        for (index, write) in self.0.iter().enumerate() {
            out.push_sql(if index == 0 { "('" } else { ", ('" });
            out.push_sql(write.what);
            out.push_sql("', ");
            // NULL if any number is right: a comparison with NULL is never true.
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
    /// Writes all rows at once, with an array for each column.
    fn walk_arrays<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match &self.verb {
            WriteVerb::Insert {
                columns,
                conflict,
                guard,
            } => {
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
                push_conflict_guard(guard.as_deref(), out)?;
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
                self.select_by_keys(keys, &mut out)?;
                push_guard(guard.as_deref(), out)?;
            }
            WriteVerb::Delete { keys } => {
                out.push_sql("DELETE FROM ");
                out.push_sql(self.table);
                out.push_sql(" USING ");
                unnest(keys.iter(), out.reborrow())?;
                self.select_by_keys(keys, &mut out)?;
            }
        }
        Ok(())
    }

    /// Selects the rows that have the values of the keys.
    fn select_by_keys<'b>(
        &'b self,
        keys: &[Column],
        out: &mut AstPass<'_, 'b, Pg>,
    ) -> QueryResult<()> {
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

/// The rows as a table `given` with columns `v0`, `v1`, …: one parameter each.
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
