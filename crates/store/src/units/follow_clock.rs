//! Deployments that wait are evaluated once more when the clock was set back: what they
//! wait for would lie too far in the future.

use uuid::Uuid;
use viridian_strategy::{DeploymentId, Timestamp};

use crate::{
    Store, error::StoreError, telemetry::InUnit as _, transaction::UnitTransaction,
    units::reconcile::evaluate_locked,
};

impl Store {
    /// Evaluates every deployment that waits, if the clock may have been set back since the
    /// last call. Returns whether it looked for any.
    pub(super) async fn follow_clock(&self, now: Timestamp) -> Result<bool, StoreError> {
        let may_be_back = self.clock_watch().may_be_back(now);
        if may_be_back {
            self.reconcile_waiting(now).await?;
        }
        // Only now: a failure is repeated.
        self.clock_watch().record(now);
        Ok(may_be_back)
    }

    /// Evaluates each deployment that waits for a time, or whose assignments do. An evaluation
    /// moves its times back.
    async fn reconcile_waiting(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut after = DeploymentId(Uuid::nil());
        loop {
            let mut reader = self.reader().await?;
            let waiting = reader.list_waiting(now, after, MAX_BATCH).await?;
            drop(reader);
            let Some(&last) = waiting.last() else {
                return Ok(());
            };
            after = last;
            match self.reconcile_available(waiting.clone()).await {
                // One of them is at fault: alone it fails alone, and is reported when it is due.
                Err(error) if error.is_of_rows() => {
                    for id in waiting {
                        match self.reconcile_available(vec![id]).await {
                            Err(error) if error.is_of_rows() => {}
                            result => result?,
                        }
                    }
                }
                result => result?,
            }
        }
    }

    /// Evaluates those of some deployments that can be read, and that no other transaction has
    /// locked. A transaction that has one locked stores times of the present.
    async fn reconcile_available(&self, ids: Vec<DeploymentId>) -> Result<(), StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            let locked = tx.lock_available(ids).await?;
            let readable = locked.into_iter().filter_map(|(_, locked)| locked.ok());
            let changes = readable.map(evaluate_locked).collect();
            let now = tx.now().await?;
            tx.carry_out_all(changes, now);
            Ok::<_, StoreError>(())
        })
        .in_unit("follow_clock", None)
        .await
    }
}

/// How many deployments are evaluated in one transaction.
const MAX_BATCH: i64 = 200;
