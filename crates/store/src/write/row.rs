//! A write of one row, in words that both engines know.

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, QueryFragment},
};

use super::{Column, Fragment, Verb, Write, column::Value};

impl Write {
    pub(super) fn walk_row<'b, DB>(
        &'b self,
        row: usize,
        mut out: AstPass<'_, 'b, DB>,
    ) -> QueryResult<()>
    where
        DB: Backend,
        Column: Value<DB>,
        dyn Fragment: QueryFragment<DB>,
    {
        match &self.verb {
            Verb::Insert { columns, conflict } => {
                out.push_sql("INSERT INTO ");
                out.push_identifier(self.table)?;
                for (index, column) in columns.iter().enumerate() {
                    out.push_sql(if index == 0 { " (" } else { ", " });
                    out.push_identifier(column.name)?;
                }
                for (index, column) in columns.iter().enumerate() {
                    out.push_sql(if index == 0 { ") VALUES (" } else { ", " });
                    column.value(row, out.reborrow())?;
                }
                out.push_sql(") ");
                out.push_sql(conflict);
                Ok(())
            }
            Verb::Update {
                keys,
                columns,
                changes,
                guard,
            } => {
                out.push_sql("UPDATE ");
                out.push_identifier(self.table)?;
                out.push_sql(" SET ");
                if let Some(changes) = changes {
                    changes.walk_ast(out.reborrow())?;
                }
                for (index, column) in columns.iter().enumerate() {
                    if index > 0 || changes.is_some() {
                        out.push_sql(", ");
                    }
                    out.push_identifier(column.name)?;
                    out.push_sql(" = ");
                    column.value(row, out.reborrow())?;
                }
                pick(keys, row, out.reborrow())?;
                if let Some(guard) = guard {
                    out.push_sql(" AND (");
                    guard.walk_ast(out.reborrow())?;
                    out.push_sql(")");
                }
                Ok(())
            }
            Verb::Delete { keys } => {
                out.push_sql("DELETE FROM ");
                out.push_identifier(self.table)?;
                pick(keys, row, out)
            }
        }
    }
}

/// The row that has the values of the keys.
fn pick<'b, DB: Backend>(
    keys: &'b [Column],
    row: usize,
    mut out: AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    Column: Value<DB>,
{
    for (index, key) in keys.iter().enumerate() {
        out.push_sql(if index == 0 { " WHERE " } else { " AND " });
        out.push_identifier(key.name)?;
        out.push_sql(" = ");
        key.value(row, out.reborrow())?;
    }
    Ok(())
}
