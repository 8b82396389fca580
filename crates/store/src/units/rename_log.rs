//! Gives the log of events a new name.

use uuid::Uuid;

use crate::{Store, error::StoreError, transaction::UnitTransaction};

impl Store {
    /// Gives the log a new name: no token that was given before is taken any more. A restored
    /// database needs that, since its positions are given out a second time.
    ///
    /// Servers read the name when they open the database, so none may run.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn rename_log(&self) -> Result<(), StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            // Random enough that no other database has it, also a copy of this one.
            let name = Uuid::now_v7().into_bytes().to_vec();
            tx.connection().await?.rename_log(name).await
        })
        .await
    }
}
