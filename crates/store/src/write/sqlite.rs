//! A chunk rows by each statement, each kind of statement prepared once for each
//! number of rows.

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
        let (mut from, mut changed) = (0, 0);
        for at_once in CHUNK_SIZES {
            while self.rows - from >= at_once && (at_once == 1 || self.is_alike()) {
                let chunk = RowChunk {
                    write: self,
                    from,
                    rows: at_once,
                };
                changed += connection.execute_returning_count(&chunk)?;
                from += at_once;
            }
        }
        Ok(changed)
    }
}

/// A write of some of its rows.
struct RowChunk<'a> {
    write: &'a Write,
    from: usize,
    rows: usize,
}

impl QueryId for RowChunk<'_> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Sqlite> for RowChunk<'_> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.write.walk_rows(self.from..self.from + self.rows, out)
    }
}

/// How many rows a statement is about, so that there are chunk to be prepared. One that is
/// about several keeps their keys in tables of its own, which take as long as some rows.
const CHUNK_SIZES: [usize; 4] = [64, 16, 4, 1];
