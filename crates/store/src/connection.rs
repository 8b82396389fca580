//! A connection with the statements of all aggregates.

use viridian_engine::AsEngine;

use crate::error::StoreError;

/// A connection to read with: each aggregate's file has its statements. In a transaction it
/// also locks and writes, which only units of work do.
pub struct Connection(viridian_engine::Connection);

impl AsEngine for Connection {
    fn as_engine(&mut self) -> &mut viridian_engine::Connection {
        &mut self.0
    }
}

impl From<viridian_engine::Connection> for Connection {
    fn from(connection: viridian_engine::Connection) -> Self {
        Self(connection)
    }
}

impl From<Connection> for viridian_engine::Connection {
    fn from(connection: Connection) -> Self {
        connection.0
    }
}

impl Connection {
    /// Runs statements that return no rows.
    pub(crate) async fn execute(&mut self, statements: &str) -> Result<(), StoreError> {
        Ok(self.0.execute(statements).await?)
    }

    /// Returns whether what is committed becomes visible in the order of its positions.
    pub(crate) fn commits_in_order(&self) -> bool {
        self.0.commits_in_order()
    }
}
