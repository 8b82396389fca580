//! The coordinator: reconciles deployments that are due, in batches. It has no rules of
//! its own.

mod limits;

use std::{sync::Arc, time::Duration};

use metrics::{counter, gauge};
use tokio::{
    sync::{
        Notify,
        broadcast::{Receiver, error::RecvError},
    },
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use viridian_store::{FailureBackoff, Notification, ReconcileBatch, Store};

pub use self::limits::CoordinatorLimits;
use crate::{
    metrics::{CYCLES, CYCLES_FAILED, PASSES, SET_ASIDE},
    tasks::{BackgroundTask, TaskSet},
};

/// Starts the workers. At the shutdown each finishes the batch it has begun.
pub(crate) fn spawn(
    tasks: &mut TaskSet,
    database: &Store,
    limits: CoordinatorLimits,
    stop: &CancellationToken,
) {
    let worker = ReconcileWorker {
        limits,
        backoff: Arc::new(FailureBackoff::new(
            limits.set_aside,
            limits.set_aside_longest,
        )),
        more: Arc::default(),
        database: database.clone(),
    };
    for _ in 1..limits.workers_on(database) {
        let secondary = worker.clone().run_secondary(stop.clone());
        tasks.spawn(BackgroundTask::CoordinatorSecondary, secondary);
    }
    let primary = worker.run_primary(stop.clone());
    tasks.spawn(BackgroundTask::CoordinatorPrimary, primary);
}

/// One of the workers that take batches side by side.
#[derive(Clone)]
struct ReconcileWorker {
    database: Store,
    limits: CoordinatorLimits,
    backoff: Arc<FailureBackoff>,
    /// Notified when there is more than one batch.
    more: Arc<Notify>,
}

/// How long to wait for the next batch.
struct PollDelay {
    at_most: Duration,
    has_worked: bool,
    /// Whether a commit ends the wait. Not after a failure: it must not be retried at the
    /// rate of commits.
    ends_by_commit: bool,
}

impl ReconcileWorker {
    /// Woken by commits, when the next deployment is due, and by the poll, in case a
    /// notification of another server was lost.
    async fn run_primary(self, stop: CancellationToken) {
        // Subscribed before the first poll: a commit between the two would be missed.
        let mut commits = self.database.subscribe();
        while !stop.is_cancelled() {
            // Outside of the select: a shutdown lets the batch commit instead of dropping it.
            let wait = self.reconcile_batch().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = made_due(&mut commits), if wait.ends_by_commit => {}
                () = sleep(wait.at_most) => {}
            }
        }
    }

    /// Woken when a batch was full, and by the poll. Not by commits: one worker is enough
    /// for most, and each poll costs a query.
    async fn run_secondary(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wait = self.reconcile_batch().await;
            let at_most = if wait.has_worked {
                Duration::ZERO
            } else {
                self.limits.poll
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.more.notified() => {}
                () = sleep(at_most) => {}
            }
        }
    }

    /// Reconciles one batch.
    async fn reconcile_batch(&self) -> PollDelay {
        let batch = self
            .database
            .reconcile_due(self.limits.batch, &self.backoff)
            .await;
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => {
                counter!(PASSES, "outcome" => "failed").increment(1);
                tracing::warn!(%error, "a pass over the due queue was given up");
                return PollDelay {
                    at_most: RETRY_DELAY,
                    has_worked: false,
                    ends_by_commit: false,
                };
            }
        };
        measure(&batch);
        let ReconcileBatch {
            done, failed, next, ..
        } = batch;
        if done.len() + failed.len() >= self.limits.batch as usize {
            // Wakes one worker for each full batch. Its permit is kept if all
            // are busy, so that the next one that is done looks again.
            self.more.notify_one();
        }
        let has_worked = !done.is_empty();
        let ends_by_commit = failed.is_empty();
        for (deployment, error) in failed {
            if error.is_of_rows() {
                tracing::error!(%deployment, %error, "a cycle failed; the deployment is set aside");
            } else {
                tracing::warn!(%deployment, %error, "a cycle was given up");
            }
        }
        let poll = self.limits.poll;
        let at_most = match next {
            _ if has_worked => Duration::ZERO,
            // All that is due is locked by others, or failed. Without a delay this would
            // be a busy loop. A lock ends with a commit, which ends the wait.
            Some(Duration::ZERO) => RETRY_DELAY,
            next => next.unwrap_or(poll).min(poll),
        };
        PollDelay {
            at_most,
            has_worked,
            ends_by_commit,
        }
    }
}

fn measure(batch: &ReconcileBatch) {
    let idle = batch.done.is_empty() && batch.failed.is_empty();
    let outcome = if idle { "idle" } else { "worked" };
    counter!(PASSES, "outcome" => outcome).increment(1);
    counter!(CYCLES).increment(batch.done.len() as u64);
    counter!(CYCLES_FAILED).increment(batch.failed.len() as u64);
    gauge!(SET_ASIDE).set(batch.set_aside as f64);
}

/// Resolves when a commit of any server made something due, now or later.
async fn made_due(commits: &mut Receiver<Notification>) {
    loop {
        match commits.recv().await {
            Ok(commit) if commit.made_due() => break,
            Ok(_) => {}
            // Which commits were missed is not known: any of them may have made something due.
            Err(RecvError::Lagged(_)) => break,
            // Not while this worker has the store, which sends. The poll would go on without it.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
    // One batch finds what all notifications until now are about.
    while commits.try_recv().is_ok() {}
}

const RETRY_DELAY: Duration = Duration::from_millis(50);
