//! A write of one row, or of several that get the same values, in SQL of both engines.

use std::ops::Range;

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::{AstPass, QueryFragment},
};

use super::{Column, SqlFragment, Write, WriteVerb, column::Value};

impl Write {
    /// Returns whether one statement can write several of its rows.
    pub(super) fn is_uniform(&self) -> bool {
        match &self.verb {
            WriteVerb::Insert { .. } => true,
            // Values by row need a statement for each row. With two keys, two lists would select
            // every combination of their values.
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

    /// Writes some rows: more than one only if [`is_uniform`](Self::is_uniform).
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
            WriteVerb::Insert {
                columns,
                conflict,
                guard,
            } => {
                out.push_sql("INSERT INTO ");
                out.push_sql(self.table);
                for (index, column) in columns.iter().enumerate() {
                    out.push_sql(if index == 0 { " (" } else { ", " });
                    out.push_sql(column.name);
                }
                out.push_sql(") VALUES ");
                push_rows(columns, rows, out.reborrow())?;
                out.push_sql(" ");
                out.push_sql(conflict);
                push_conflict_guard(guard.as_deref(), out)
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
                push_changes(changes.as_deref(), columns, rows.start, out.reborrow())?;
                select_by_keys(keys, rows, out.reborrow())?;
                push_guard(guard.as_deref(), out)
            }
            WriteVerb::Delete { keys } => {
                out.push_sql("DELETE FROM ");
                out.push_sql(self.table);
                select_by_keys(keys, rows, out)
            }
        }
    }
}

/// The values of each row, in parentheses.
fn push_rows<'b, DB: Backend>(
    columns: &'b [Column],
    rows: Range<usize>,
    mut out: AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    Column: Value<DB>,
{
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
    Ok(())
}

/// The new values of an update: those of all rows, and those of this one.
fn push_changes<'b, DB: Backend>(
    changes: Option<&'b (dyn SqlFragment + 'static)>,
    columns: &'b [Column],
    row: usize,
    mut out: AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    Column: Value<DB>,
    dyn SqlFragment: QueryFragment<DB>,
{
    if let Some(changes) = changes {
        changes.walk_ast(out.reborrow())?;
    }
    for (index, column) in columns.iter().enumerate() {
        if index > 0 || changes.is_some() {
            out.push_sql(", ");
        }
        out.push_sql(column.name);
        out.push_sql(" = ");
        column.value(row, out.reborrow())?;
    }
    Ok(())
}

/// The condition on existing rows, after what happens to them.
pub(super) fn push_conflict_guard<'b, DB: Backend>(
    guard: Option<&'b (dyn SqlFragment + 'static)>,
    mut out: AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    dyn SqlFragment: QueryFragment<DB>,
{
    if let Some(guard) = guard {
        out.push_sql(" WHERE ");
        guard.walk_ast(out)?;
    }
    Ok(())
}

/// The condition of an update, after the condition on its keys.
pub(super) fn push_guard<'b, DB: Backend>(
    guard: Option<&'b (dyn SqlFragment + 'static)>,
    mut out: AstPass<'_, 'b, DB>,
) -> QueryResult<()>
where
    dyn SqlFragment: QueryFragment<DB>,
{
    if let Some(guard) = guard {
        // In parentheses: an OR in the guard would bind weaker than this AND, and the update
        // would change rows of other keys.
        out.push_sql(" AND (");
        guard.walk_ast(out.reborrow())?;
        out.push_sql(")");
    }
    Ok(())
}

/// Selects the rows that have the values of the keys. Several rows have one key.
fn select_by_keys<'b, DB: Backend>(
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
