//! Rows in chunks: each kind of statement is prepared once for each size of chunk.

use diesel::{
    QueryResult, SqliteConnection,
    connection::Connection as _,
    query_builder::{AstPass, QueryFragment, QueryId},
    sqlite::Sqlite,
};

use super::Write;

impl Write {
    /// Runs it. Returns how many rows were changed.
    pub(super) fn execute(&self, connection: &mut SqliteConnection) -> QueryResult<usize> {
        let (mut from, mut changed) = (0, 0);
        for size in CHUNK_SIZES {
            while self.rows - from >= size && (size == 1 || self.is_uniform()) {
                let chunk = RowChunk {
                    write: self,
                    from,
                    rows: size,
                };
                changed += connection.execute_returning_count(&chunk)?;
                from += size;
            }
        }
        Ok(changed)
    }
}

/// Some rows of a write.
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

/// The sizes of chunks, which keep the number of prepared statements small. A statement with
/// several rows builds a table of their keys, which takes as long as a few rows.
const CHUNK_SIZES: [usize; 4] = [64, 16, 4, 1];
