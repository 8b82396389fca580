//! The coordinator: takes what is due, and has it looked at. It has no rule of
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
use viridian_store::{Database, FailureBackoff, Notification, ReconcileBatch};

pub use self::limits::{CoordinatorLimitError, CoordinatorLimits};
use crate::{
    metrics::{CYCLES, CYCLES_FAILED, PASSES, SET_ASIDE},
    tasks::{BackgroundTask, TaskSet},
};

/// Starts the workers. At the shutdown each finishes the batch it has begun.
pub(crate) fn spawn(
    tasks: &mut TaskSet,
    database: &Database,
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

/// One of those who take batches side by side.
#[derive(Clone)]
struct ReconcileWorker {
    database: Database,
    limits: CoordinatorLimits,
    backoff: Arc<FailureBackoff>,
    /// That there is more than one batch.
    more: Arc<Notify>,
}

/// How long to wait for the next pass.
struct PollDelay {
    at_most: Duration,
    has_worked: bool,
    /// Not when something failed: that must not be tried as fast as others
    /// commit.
    ends_by_commit: bool,
}

impl ReconcileWorker {
    /// The first one is woken by commits, by the time when the next deployment is
    /// due, and by the slow poll, in case nothing was last_seen of a commit elsewhere.
    async fn run_primary(self, stop: CancellationToken) {
        // Armed before the queue is looked at, so that nothing falls between.
        let mut commits = self.database.subscribe();
        while !stop.is_cancelled() {
            let wait = self.pass().await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = made_due(&mut commits), if wait.ends_by_commit => {}
                () = sleep(wait.at_most) => {}
            }
        }
    }

    /// The others are woken when a batch is full, and by the slow poll: so that
    /// not all of them look at each commit, of which one can do the work.
    async fn run_secondary(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wait = self.pass().await;
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

    /// Works on one batch.
    async fn pass(&self) -> PollDelay {
        let pass = self
            .database
            .reconcile_due(self.limits.batch, &self.backoff)
            .await;
        let pass = match pass {
            Ok(pass) => pass,
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
        measure(&pass);
        let ReconcileBatch {
            done, failed, next, ..
        } = pass;
        if done.len() + failed.len() >= self.limits.batch as usize {
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
            // All of it is in other hands, or failed. Those hands let go by a
            // commit: most often that of a report that came while the one before
            // was looked at.
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

fn measure(pass: &ReconcileBatch) {
    let idle = pass.done.is_empty() && pass.failed.is_empty();
    let outcome = if idle { "idle" } else { "worked" };
    counter!(PASSES, "outcome" => outcome).increment(1);
    counter!(CYCLES).increment(pass.done.len() as u64);
    counter!(CYCLES_FAILED).increment(pass.failed.len() as u64);
    gauge!(SET_ASIDE).set(pass.set_aside as f64);
}

/// Resolves when a commit, here or elsewhere, made something due, now or later.
async fn made_due(commits: &mut Receiver<Notification>) {
    loop {
        match commits.recv().await {
            Ok(commit) if commit.made_due() => break,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => break,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
    // What else was announced until now is found by the same look.
    while commits.try_recv().is_ok() {}
}

const RETRY_DELAY: Duration = Duration::from_millis(50);
