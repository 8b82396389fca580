//! A cycle: look at deployments that are due, and do what the strategy says.
//!
//! A pass does so for many at once, in one transaction. One that cannot be read
//! is set aside in it; and if it cannot be committed, each is looked at in a
//! transaction of its own, so that only what is broken is set aside.

use std::time::Duration;

use metrics::histogram;
use tracing::info_span;
use viridian_strategy::{DeploymentId, Timestamp, evaluate};

use crate::{
    Database,
    database::WaitStart,
    deployments::{Deployment, set_due},
    dialect::Trip,
    error::StoreError,
    telemetry::{CYCLE_LATENESS, InUnit as _},
    transaction::Transaction,
    units::{
        Call, SetAside,
        change::{Change, Plan},
        hold::Held,
    },
};

/// What a pass over the due queue came to.
#[derive(Debug, Default)]
pub struct Pass {
    /// What was looked at.
    pub done: Vec<DeploymentId>,
    /// What could not be looked at, and is set aside if that is its own fault.
    pub failed: Vec<(DeploymentId, StoreError)>,
    /// How long until something is due: no time at all if something was, none if
    /// nothing ever will be by itself.
    pub next: Option<Duration>,
    /// How many this process has set aside for now.
    pub set_aside: usize,
}

impl Database {
    /// Looks at what is due and in nobody's hands, the longest overdue first. What
    /// is broken is set aside for a while, so that it delays no other, and for
    /// longer if it was before.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn run_due(&self, limit: u32, aside: &SetAside) -> Result<Pass, StoreError> {
        let trip = Trip::to_read(self.clock());
        let (due, now) = self.reader().await?.next_due(trip).await?;
        let next = due.map(|at| at.since(now));
        if next != Some(Duration::ZERO) {
            return Ok(Pass {
                next,
                set_aside: aside.count(now),
                ..Pass::default()
            });
        }
        let mut taken = Vec::new();
        let together = self.run_together(now, limit, aside, &mut taken).await;
        let pass = match together {
            Err(error) if error.is_of_rows() => self.run_alone(taken, aside, now).await?,
            together => together?,
        };
        aside.done(&pass.done);
        let failed = pass.failed.iter().filter(|(_, error)| error.is_of_rows());
        let failed: Vec<_> = failed.map(|(id, _)| *id).collect();
        aside.failed(&failed, now);
        Ok(Pass {
            next,
            set_aside: aside.count(now),
            ..pass
        })
    }

    /// In one transaction. Says what it has taken, also when it fails.
    async fn run_together(
        &self,
        due_by: Timestamp,
        limit: u32,
        aside: &SetAside,
        taken: &mut Vec<DeploymentId>,
    ) -> Result<Pass, StoreError> {
        self.write(async |tx: &mut Transaction| {
            let (connection, trip) = tx.trip()?;
            let due = connection.lock_due(trip, due_by, i64::from(limit)).await?;
            taken.clone_from(&due);
            if due.is_empty() {
                return Ok(Pass::default());
            }
            let mut pass = Pass::default();
            let mut changes = Vec::new();
            for (id, held) in tx.hold_free(due).await? {
                match held {
                    Ok(held) => {
                        changes.push(cycle(held));
                        pass.done.push(id);
                    }
                    Err(error) => pass.failed.push((id, error)),
                }
            }
            let now = tx.now().await?;
            tx.carry_out_all(changes, now);
            let broken = pass.failed.iter();
            tx.write(broken.map(|&(id, _)| set_due(&[id], now + aside.time(id, now))));
            Ok(pass)
        })
        .in_unit("pass", None)
        .await
    }

    /// Each in a transaction of its own.
    async fn run_alone(
        &self,
        ids: Vec<DeploymentId>,
        aside: &SetAside,
        now: Timestamp,
    ) -> Result<Pass, StoreError> {
        let mut pass = Pass::default();
        for id in ids {
            match self.run_cycle(id).await {
                Ok(Some(_)) => pass.done.push(id),
                // Someone else was faster.
                Ok(None) => {}
                Err(error @ (StoreError::Away(_) | StoreError::Exhausted)) => return Err(error),
                Err(error) => {
                    if error.is_of_rows() {
                        self.set_aside(id, aside.time(id, now)).await?;
                    }
                    pass.failed.push((id, error));
                }
            }
        }
        Ok(pass)
    }

    /// Does one cycle of a deployment, in one transaction. None when it is not
    /// due any more, or when someone else holds it.
    ///
    /// # Errors
    ///
    /// When the database fails, or the deployment's row is broken.
    pub async fn run_cycle(&self, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.write(async |tx: &mut Transaction| {
            let held = tx.hold_free(vec![id]).await?;
            let Some((_, held)) = held.into_iter().next() else {
                return Ok(None);
            };
            let held = held?;
            let now = held.now;
            if held.due_at.is_none_or(|at| at > now) {
                return Ok(None);
            }
            let change = cycle(held);
            let deployment = change.deployment.clone();
            tx.carry_out_all(vec![change], now);
            Ok(Some(deployment))
        })
        .in_unit("cycle", id)
        .await
    }

    /// Puts a deployment that fails aside for a while, so that it delays no
    /// other.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn set_aside(&self, id: DeploymentId, time: Duration) -> Result<(), StoreError> {
        self.write_on(WaitStart::now(), [id], async |tx: &mut Transaction| {
            let now = tx.now().await?;
            tx.write([set_due(&[id], now + time)]);
            Ok(())
        })
        .await
    }
}

/// What a look at a deployment comes to.
fn cycle(held: Held) -> Change {
    let deployment = &held.deployment;
    let _within = info_span!("cycle", deployment = %deployment.id).entered();
    if let Some(due_at) = held.due_at {
        histogram!(CYCLE_LATENESS).record(held.now.since(due_at));
    }
    let (view, policy) = (deployment.view(), &deployment.policy);
    let evaluation = evaluate(&view, &held.views(), policy, held.now);
    let call = Call::coordinator(evaluation.reason());
    held.change(&Plan::of_cycle(evaluation), &call)
}
