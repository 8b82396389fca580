//! A write of one row, or of a chunk that get the same, in words that both engines
//! know.

use std::ops::Range;

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, QueryFragment},
};

use super::{Column, SqlFragment, Write, WriteVerb, column::Value};

impl Write {
    /// Whether its rows can be written by one statement.
    pub(super) fn is_alike(&self) -> bool {
        match &self.verb {
            WriteVerb::Insert { .. } => true,
            WriteVerb::Update { keys, columns, .. } => columns.is_empty() && keys.len() == 1,
            WriteVerb::Delete { keys } => keys.len() == 1,
        }
    }

    pub(super) fn walk_row<'b, DB>(
        &'b self,
        row: usize,
        out: AstPass<'_, 'b, DB>,
    ) -> QueryResult<()>
    where
        DB: Backend,
        Column: Value<DB>,
        dyn SqlFragment: QueryFragment<DB>,
    {
        self.walk_rows(row..row + 1, out)
    }

    /// More than one row only where they are alike.
    pub(super) fn walk_rows<'b, DB>(
        &'b self,
        rows: Range<usize>,
        mut out: AstPass<'_, 'b, DB>,
    ) -> QueryResult<()>
    where
        DB: Backend,
        Column: Value<DB>,
        dyn SqlFragment: QueryFragment<DB>,
    {
        match &self.verb {
            WriteVerb::Insert { columns, conflict } => {
                out.push_sql("INSERT INTO ");
                out.push_sql(self.table);
                for (index, column) in columns.iter().enumerate() {
                    out.push_sql(if index == 0 { " (" } else { ", " });
                    out.push_sql(column.name);
                }
                out.push_sql(") VALUES ");
                for row in rows.clone() {
                    out.push_sql(if row == rows.start { "(" } else { ", (" });
                    for (index, column) in columns.iter().enumerate() {
                        if index > 0 {
                            out.push_sql(", ");
                        }
                        column.value(row, out.reborrow())?;
                    }
                    out.push_sql(")");
                }
                out.push_sql(" ");
                out.push_sql(conflict);
                Ok(())
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
                    if index > 0 || changes.is_some() {
                        out.push_sql(", ");
                    }
                    out.push_sql(column.name);
                    out.push_sql(" = ");
                    column.value(rows.start, out.reborrow())?;
                }
                pick(keys, rows, out.reborrow())?;
                if let Some(guard) = guard {
                    out.push_sql(" AND (");
                    guard.walk_ast(out.reborrow())?;
                    out.push_sql(")");
                }
                Ok(())
            }
            WriteVerb::Delete { keys } => {
                out.push_sql("DELETE FROM ");
                out.push_sql(self.table);
                pick(keys, rows, out)
            }
        }
    }
}

/// The rows that have the values of the keys: of the only one, if they are several.
fn pick<'b, DB: Backend>(
    keys: &'b [Column],
    rows: Range<usize>,
    mut out: AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    Column: Value<DB>,
{
    for (index, key) in keys.iter().enumerate() {
        out.push_sql(if index == 0 { " WHERE " } else { " AND " });
        out.push_sql(key.name);
        if rows.len() == 1 {
            out.push_sql(" = ");
            key.value(rows.start, out.reborrow())?;
            continue;
        }
        for row in rows.clone() {
            out.push_sql(if row == rows.start { " IN (" } else { ", " });
            key.value(row, out.reborrow())?;
        }
        out.push_sql(")");
    }
    Ok(())
}
