//! Row by row, each kind of statement prepared once.

use diesel::{
    QueryResult, SqliteConnection,
    connection::Connection as _,
    query_builder::{AstPass, QueryFragment, QueryId},
    sqlite::Sqlite,
};

use super::{Column, Verb, Write, walk_sqlite};

impl Write {
    /// Does it. Gives how many rows were changed.
    pub(super) fn execute(&self, connection: &mut SqliteConnection) -> QueryResult<usize> {
        (0..self.rows)
            .map(|row| connection.execute_returning_count(&OfRow { write: self, row }))
            .sum()
    }
}

/// A write of one of its rows.
struct OfRow<'a> {
    write: &'a Write,
    row: usize,
}

impl QueryId for OfRow<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Sqlite> for OfRow<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let table = self.write.table;
        match &self.write.verb {
            Verb::Insert { columns, conflict } => {
                out.push_sql("INSERT INTO ");
                out.push_identifier(table)?;
                for (index, column) in columns.iter().enumerate() {
                    out.push_sql(if index == 0 { " (" } else { ", " });
                    out.push_identifier(column.name)?;
                }
                for (index, column) in columns.iter().enumerate() {
                    out.push_sql(if index == 0 { ") VALUES (" } else { ", " });
                    column.value(self.row, out.reborrow())?;
                }
                out.push_sql(") ");
                out.push_sql(conflict);
            }
            Verb::Update {
                keys,
                columns,
                changes,
                guard,
            } => {
                out.push_sql("UPDATE ");
                out.push_identifier(table)?;
                out.push_sql(" SET ");
                if let Some(changes) = changes {
                    walk_sqlite(&**changes, out.reborrow())?;
                }
                for (index, column) in columns.iter().enumerate() {
                    if index > 0 || changes.is_some() {
                        out.push_sql(", ");
                    }
                    out.push_identifier(column.name)?;
                    out.push_sql(" = ");
                    column.value(self.row, out.reborrow())?;
                }
                self.pick(keys, &mut out)?;
                if let Some(guard) = guard {
                    out.push_sql(" AND (");
                    walk_sqlite(&**guard, out.reborrow())?;
                    out.push_sql(")");
                }
            }
            Verb::Delete { keys } => {
                out.push_sql("DELETE FROM ");
                out.push_identifier(table)?;
                self.pick(keys, &mut out)?;
            }
        }
        Ok(())
    }

    /// By its text, which is the same for each row.
    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }
}

impl OfRow<'_> {
    /// The row that has the values of the keys.
    fn pick<'b>(&self, keys: &'b [Column], out: &mut AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        for (index, key) in keys.iter().enumerate() {
            out.push_sql(if index == 0 { " WHERE " } else { " AND " });
            out.push_identifier(key.name)?;
            out.push_sql(" = ");
            key.value(self.row, out.reborrow())?;
        }
        Ok(())
    }
}
