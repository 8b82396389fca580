//! A connection with the statements of all aggregates.

use viridian_engine::AsEngine;

use crate::error::StoreError;

/// A connection to read with: each aggregate's file has its statements. In a transaction it
/// also locks and writes, which only units of work do.
pub struct StoreConnection(viridian_engine::EngineConnection);

impl AsEngine for StoreConnection {
    fn as_engine(&mut self) -> &mut viridian_engine::EngineConnection {
        &mut self.0
    }
}

impl From<viridian_engine::EngineConnection> for StoreConnection {
    fn from(connection: viridian_engine::EngineConnection) -> Self {
        Self(connection)
    }
}

impl From<StoreConnection> for viridian_engine::EngineConnection {
    fn from(connection: StoreConnection) -> Self {
        connection.0
    }
}

impl StoreConnection {
    /// Runs statements that return no rows.
    pub(crate) async fn execute(&mut self, statements: &str) -> Result<(), StoreError> {
        Ok(self.0.execute(statements).await?)
    }

    /// Returns whether what is committed becomes visible in the order of its positions.
    pub(crate) fn commits_in_order(&self) -> bool {
        self.0.commits_in_order()
    }
}
