//! Row by row, each kind of statement prepared once.

use diesel::{
    QueryResult, SqliteConnection,
    connection::Connection as _,
    query_builder::{AstPass, QueryFragment, QueryId},
    sqlite::Sqlite,
};

use super::Write;

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
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.write.walk_row(self.row, out)
    }
}
