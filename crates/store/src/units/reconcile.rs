//! Reconciles deployments that are due with what the strategy says.
//!
//! A batch does that for many in one transaction. A deployment that cannot be read is
//! postponed in it. If the batch cannot be committed, each deployment gets a transaction of
//! its own, so that only those at fault are postponed.

use std::time::{Duration, Instant};

use metrics::histogram;
use tracing::info_span;
use viridian_engine::WaitStart;
use viridian_strategy::{DeploymentId, Timestamp, evaluate};

use crate::{
    Store,
    deployments::set_due,
    error::StoreError,
    record::Deployment,
    telemetry::{InUnit as _, RECONCILE_LATENESS},
    transaction::UnitTransaction,
    units::{
        FailureBackoff, RequestContext,
        change::{PlannedChange, WriteSet},
        lock::Locked,
    },
};

/// What a batch of due deployments came to.
#[derive(Debug, Default)]
pub struct ReconcileBatch {
    /// The deployments that were reconciled.
    pub done: Vec<DeploymentId>,
    /// The deployments that could not be, postponed if their own rows are at fault.
    pub failed: Vec<(DeploymentId, StoreError)>,
    /// How long until something is due: zero if something was, none if nothing will be by
    /// itself.
    pub next: Option<Duration>,
    /// How many deployments this process has postponed because they failed.
    pub set_aside: usize,
}

impl Store {
    /// Reconciles what is due and not locked, the longest overdue first. A deployment that
    /// fails is postponed, so that it delays no other, and longer each time.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn reconcile_due(
        &self,
        limit: u32,
        backoff: &FailureBackoff,
    ) -> Result<ReconcileBatch, StoreError> {
        let round_trip = self.round_trip();
        // One row of an index, and no transaction: most polls find nothing and end here.
        let mut reader = self.reader().await?;
        let asked = Instant::now();
        let (mut due, mut now) = reader.next_due(round_trip).await?;
        drop(reader);
        // First: what is due by a clock that was set forward is not due.
        if self.correct_clock(now, asked).await? {
            (due, now) = self.reader().await?.next_due(round_trip).await?;
        }
        if self.follow_clock(now).await? {
            (due, now) = self.reader().await?.next_due(round_trip).await?;
        }
        let next = due.map(|at| at.since(now));
        if next != Some(Duration::ZERO) {
            return Ok(ReconcileBatch {
                next,
                set_aside: backoff.count(now),
                ..ReconcileBatch::default()
            });
        }
        let mut taken = Vec::new();
        let together = self
            .reconcile_together(now, limit, backoff, &mut taken)
            .await;
        let batch = match together {
            Err(error) if error.is_of_rows() => self.reconcile_alone(taken, backoff, now).await?,
            together => together?,
        };
        // After the commit: a deployment whose reconcile was rolled back has not succeeded.
        backoff.reset(&batch.done);
        // A lost connection is not the deployment's fault, so it does not count as its failure.
        let failed = batch.failed.iter().filter(|(_, error)| error.is_of_rows());
        let failed: Vec<_> = failed.map(|(id, _)| *id).collect();
        backoff.record_failures(&failed, now);
        Ok(ReconcileBatch {
            next,
            set_aside: backoff.count(now),
            ..batch
        })
    }

    /// Reconciles in one transaction. Fills `taken` with what it has locked, also if it fails.
    async fn reconcile_together(
        &self,
        due_by: Timestamp,
        limit: u32,
        backoff: &FailureBackoff,
        taken: &mut Vec<DeploymentId>,
    ) -> Result<ReconcileBatch, StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            let mut batch = ReconcileBatch::default();
            let mut changes = Vec::new();
            let due = tx.lock_due(due_by, limit, taken).await?;
            if due.is_empty() {
                return Ok(batch);
            }
            for (id, locked) in due {
                match locked {
                    Ok(locked) => {
                        changes.push(evaluate_locked(locked));
                        batch.done.push(id);
                    }
                    Err(error) => batch.failed.push((id, error)),
                }
            }
            let now = tx.now().await?;
            tx.carry_out_all(changes, now);
            let failed = batch.failed.iter();
            // In the same transaction. Otherwise the next batch takes the same ones first, since
            // they are the longest overdue.
            tx.write(failed.map(|&(id, _)| set_due(&[id], now + backoff.delay(id, now))));
            Ok(batch)
        })
        .in_unit("pass", None)
        .await
    }

    /// Reconciles each in a transaction of its own.
    async fn reconcile_alone(
        &self,
        ids: Vec<DeploymentId>,
        backoff: &FailureBackoff,
        now: Timestamp,
    ) -> Result<ReconcileBatch, StoreError> {
        let mut batch = ReconcileBatch::default();
        for id in ids {
            match self.reconcile(id).await {
                Ok(Some(_)) => batch.done.push(id),
                // Another worker was faster.
                Ok(None) => {}
                // The others would fail in the same way, each after its own wait.
                Err(error)
                    if error.is_of_database() || matches!(error, StoreError::PoolTimeout) =>
                {
                    return Err(error);
                }
                Err(error) => {
                    if error.is_of_rows() {
                        self.postpone(id, backoff.delay(id, now)).await?;
                    }
                    batch.failed.push((id, error));
                }
            }
        }
        Ok(batch)
    }

    /// Reconciles one deployment, in one transaction. None when it is not due any more, or when
    /// it is locked.
    ///
    /// # Errors
    ///
    /// When the database fails, or the deployment's row cannot be read.
    pub async fn reconcile(&self, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
        self.write(async |tx: &mut UnitTransaction| {
            // It never waits. The holder of the lock decides when the deployment is due again.
            let locked = tx.lock_available(vec![id]).await?;
            let Some((_, locked)) = locked.into_iter().next() else {
                return Ok(None);
            };
            let locked = locked?;
            let now = locked.now;
            // Another worker may have reconciled it since it was found due.
            if locked.due_at.is_none_or(|at| at > now) {
                return Ok(None);
            }
            let change = evaluate_locked(locked);
            let deployment = change.deployment.clone();
            tx.carry_out_all(vec![change], now);
            Ok(Some(deployment))
        })
        .in_unit("cycle", id)
        .await
    }

    /// Makes a deployment due after some time, so that it delays no other until then.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn postpone(&self, id: DeploymentId, time: Duration) -> Result<(), StoreError> {
        self.write_locked(WaitStart::now(), [id], async |tx: &mut UnitTransaction| {
            let now = tx.now().await?;
            tx.write([set_due(&[id], now + time)]);
            Ok(())
        })
        .await
    }
}

/// Returns what the strategy changes of a deployment.
pub(super) fn evaluate_locked(locked: Locked) -> WriteSet {
    let deployment = &locked.deployment;
    let _within = info_span!("cycle", deployment = %deployment.id).entered();
    if let Some(due_at) = locked.due_at {
        histogram!(RECONCILE_LATENESS).record(locked.now.since(due_at));
    }
    let evaluation = locked.decide(evaluate);
    let call = RequestContext::coordinator(evaluation.reason());
    locked.write_set(&PlannedChange::of_reconcile(evaluation), &call)
}
