//! The coordinator as the server has it: when it polls, and how it waits. It calls the real
//! store.

use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use viridian_strategy::Timestamp;

use super::generators::rng::Rng;
use crate::{FailureBackoff, Notification, ReconcileBatch, Store};

pub(super) struct SimulatedCoordinator {
    /// When it polls next without a notification.
    pub(super) look_at: Timestamp,
    /// When a scheduler polls its assignments.
    pub(super) assignments_at: Option<Timestamp>,
    /// Whether its last batches found nothing that will become due.
    pub(super) is_idle: bool,
    poll: Duration,
    pub(super) aside: FailureBackoff,
    commits: Receiver<Notification>,
    /// How many batches run concurrently.
    workers: usize,
    /// One in this many notifications is lost.
    loses: Option<u64>,
}

impl SimulatedCoordinator {
    /// Starts one, which polls immediately.
    pub(super) fn start(db: &Store, now: Timestamp, workers: usize, loses: Option<u64>) -> Self {
        Self {
            look_at: now,
            assignments_at: Some(now),
            is_idle: false,
            poll: if loses.is_some() {
                POLL_INTERVAL
            } else {
                IDLE_POLL_INTERVAL
            },
            aside: FailureBackoff::new(INITIAL_BACKOFF, MAX_BACKOFF),
            commits: db.subscribe(),
            workers,
            loses,
        }
    }

    /// Receives the notifications of all commits until now.
    pub(super) fn receive(&mut self, now: Timestamp, rng: &mut Rng) {
        loop {
            let commit = match self.commits.try_recv() {
                Ok(commit) => commit,
                // Some notifications were dropped, and it cannot know which.
                Err(TryRecvError::Lagged(_)) => {
                    self.look_at = self.look_at.min(now);
                    self.assignments_at = Some(now);
                    continue;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            if !commit.assigned_in(super::GROUP).is_none() {
                self.assignments_at = Some(now);
            }
            let is_lost = self.loses.is_some_and(|many| rng.one_in(many));
            if commit.made_due() && !is_lost {
                self.look_at = self.look_at.min(now);
            }
        }
    }

    /// Runs one batch of each worker, concurrently.
    pub(super) async fn pass(
        &mut self,
        db: &Store,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Vec<ReconcileBatch> {
        let batch = rng.pick(&[3, 20, 200]);
        let workers = (0..self.workers).map(|_| db.reconcile_due(batch, &self.aside));
        let passes = futures::future::join_all(workers).await;
        let passes: Vec<ReconcileBatch> = passes
            .into_iter()
            .map(|pass| pass.expect("the database is there"))
            .collect();
        self.is_idle = passes.iter().all(|pass| pass.next.is_none());
        let waits = passes.iter().map(|pass| match pass.next {
            _ if !pass.done.is_empty() => Duration::ZERO,
            // What is due is locked by a call, or failed. The server tries again within 50 ms, of
            // which no clock here knows: a call that was refused notifies of nothing.
            Some(Duration::ZERO) => Duration::ZERO,
            next => next.unwrap_or(self.poll).min(self.poll),
        });
        self.look_at = now + waits.min().expect("a worker");
        passes
    }
}

pub(super) const INITIAL_BACKOFF: Duration = Duration::from_secs(4);
pub(super) const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// How long a deployment can stay due after its notification was lost.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(5);
const IDLE_POLL_INTERVAL: Duration = Duration::from_secs(3_600);
