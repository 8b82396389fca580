//! Derives again what is derived from other rows as they change.

use crate::{Store, error::StoreError, transaction::UnitTransaction};

impl Store {
    /// Counts again what projects use, and rebuilds the index of labels. That is needed where
    /// rows were changed by hand, or by a server of a version that did not count. Servers may run.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn recount(&self) -> Result<(), StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            // In the order in which units write them, so that no two wait for each other.
            tx.connection().await?.rebuild_labels().await?;
            tx.connection().await?.recount_usage().await
        })
        .await
    }
}
