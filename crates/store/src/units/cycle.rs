//! A cycle: look at a deployment that is due, and do what the strategy says.

use std::time::Duration;

use viridian_strategy::{DeploymentId, evaluate};

use crate::{
    Database,
    deployments::Deployment,
    error::StoreError,
    transaction::Transaction,
    units::{Call, hold::Plan},
};

/// The deployments to look at now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueBatch {
    /// The longest overdue first.
    pub due: Vec<DeploymentId>,
    /// How long until the next one behind these is due.
    pub next: Option<Duration>,
}

impl Database {
    /// Lists what is due.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_due(&self, limit: u32) -> Result<DueBatch, StoreError> {
        let now = self.now().await?;
        let mut reader = self.reader().await?;
        let due = reader.list_due(now, i64::from(limit)).await?;
        let next = reader.next_due(now).await?;
        Ok(DueBatch {
            due,
            next: next.map(|at| at.since(now)),
        })
    }

    /// Does one cycle of a deployment, in one transaction. None when it is not
    /// due any more, or when someone else holds it.
    ///
    /// # Errors
    ///
    /// When the database fails, or the deployment's row is broken.
    pub async fn run_cycle(&self, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.write(async |tx: &mut Transaction| {
            let Some(held) = tx.hold_due(id).await? else {
                return Ok(None);
            };
            let deployment = &held.deployment;
            let evaluation = evaluate(
                &deployment.view(),
                &held.views(),
                &deployment.policy,
                held.now,
            );
            let call = Call::coordinator(evaluation.reason());
            tx.carry_out(held, Plan::of_cycle(evaluation), &call)
                .await
                .map(Some)
        })
        .await
    }

    /// Puts a deployment that fails aside for a while, so that it delays no
    /// other.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn set_aside(&self, id: DeploymentId, time: Duration) -> Result<(), StoreError> {
        self.write_on([id], async |tx: &mut Transaction| {
            let now = tx.now().await?;
            tx.connection()?.set_due(id, Some(now + time)).await
        })
        .await
    }
}
