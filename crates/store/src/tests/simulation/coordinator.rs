//! The coordinator as the server has it: when it looks, and how it waits. What
//! it calls is the store's.

use std::time::Duration;

use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use viridian_strategy::Timestamp;

use super::generators::rng::Rng;
use crate::{FailureBackoff, Notification, ReconcileBatch, Store};

pub(super) struct Coordinator {
    /// When it looks again if it hears of nothing.
    pub(super) look_at: Timestamp,
    /// When a scheduler looks again at what it is assigned.
    pub(super) assignments_at: Option<Timestamp>,
    /// Whether nothing will ever be due by itself, as far as it has looked.
    pub(super) is_idle: bool,
    poll: Duration,
    pub(super) aside: FailureBackoff,
    commits: Receiver<Notification>,
    /// How many take batches side by side.
    workers: usize,
    /// Of so many announcements one is lost.
    loses: Option<u64>,
}

impl Coordinator {
    /// One that has just been started: it looks at once.
    pub(super) fn start(db: &Store, now: Timestamp, workers: usize, loses: Option<u64>) -> Self {
        Self {
            look_at: now,
            assignments_at: Some(now),
            is_idle: false,
            poll: if loses.is_some() { POLL } else { NEVER },
            aside: FailureBackoff::new(FIRST, LONGEST),
            commits: db.subscribe(),
            workers,
            loses,
        }
    }

    /// Hears what was committed until now.
    pub(super) fn hear(&mut self, now: Timestamp, rng: &mut Rng) {
        loop {
            let commit = match self.commits.try_recv() {
                Ok(commit) => commit,
                // It has to look for itself.
                Err(TryRecvError::Lagged(_)) => {
                    self.look_at = self.look_at.min(now);
                    self.assignments_at = Some(now);
                    continue;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            if commit.may_assign(super::GROUP) {
                self.assignments_at = Some(now);
            }
            let is_lost = self.loses.is_some_and(|many| rng.one_in(many));
            if commit.made_due() && !is_lost {
                self.look_at = self.look_at.min(now);
            }
        }
    }

    /// One pass of each worker, side by side.
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
            Some(Duration::ZERO) => RETRY,
            next => next.unwrap_or(self.poll).min(self.poll),
        });
        self.look_at = now + waits.min().expect("a worker");
        passes
    }
}

pub(super) const FIRST: Duration = Duration::from_secs(4);
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// How long something can stay due of which the announcement was lost.
pub(super) const POLL: Duration = Duration::from_secs(5);
const NEVER: Duration = Duration::from_secs(3_600);
const RETRY: Duration = Duration::from_millis(50);
