//! Callers of different deployments who wait at the same time share one
//! transaction: what each of them costs by itself is mostly the transaction.
//!
//! A call that needs nothing but its deployment to decide says how it decides,
//! and gets in queue. A batch takes hold of the deployments of all who wait and
//! that nobody else holds, has each decide, and commits all of it. Nobody is told
//! anything before that: not a refusal either, since on SQLite it may rest on what
//! is not durable yet.
//!
//! Who cannot go with the others goes alone: whose deployment another has in
//! hand, for it alone is to wait; and everyone if one of them spoils the
//! transaction.
//!
//! A batch is made up of who waits when its transaction has begun. So until then each
//! caller is still in the line, and leaves it when its own time is over.

mod pending;

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};
use tracing::{Instrument as _, Span, field, info_span};
use viridian_strategy::DeploymentId;

#[cfg(test)]
pub(crate) use self::pending::Staged;
pub(crate) use self::pending::{BatchOutcome, Decider, Decision, Pending, PendingCall};
use crate::{
    Database, database::WaitStart, error::StoreError, replies::insert_replies,
    transaction::Transaction,
};

/// Those who wait, and how many batches are under way.
#[derive(Clone)]
pub(crate) struct CommitBatcher {
    queue: Arc<Mutex<Queue>>,
    /// How many batches at most. With none everyone goes alone.
    max_batches: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<QueuedCall>,
    batches: usize,
    /// How many are waited for, and who is told when they are there.
    lingering: VecDeque<(usize, oneshot::Sender<()>)>,
}

/// A place in the queue.
pub(crate) struct QueuedCall {
    pub(crate) deployment: DeploymentId,
    /// When its call began to wait.
    pub(crate) since: WaitStart,
    pub(crate) caller: Box<dyn PendingCall>,
    /// Who serves the line has none of its own, so as to keep none open.
    pub(crate) db: Database,
}

impl CommitBatcher {
    pub(crate) fn new(max_batches: usize) -> Self {
        Self {
            queue: Arc::default(),
            max_batches,
        }
    }

    /// Whether nobody serves the queue: whoever comes next has someone begin to.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.queue().batches == 0
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts someone in the queue. Gives the right to serve it, if that is free.
    pub(crate) fn join(&self, place: QueuedCall) -> Option<BatchWorker> {
        let mut queue = self.queue();
        queue.waiting.push_back(place);
        queue.wake_lingering();
        // One that is begun beside another has to be worth it: fewer batches are
        // larger ones, and most of what a small one costs is the transaction.
        let is_worth_it = queue.batches == 0 || queue.waiting.len() >= MAX_BATCH;
        (queue.batches < self.max_batches && is_worth_it).then(|| self.begin(&mut queue))
    }

    /// Takes the next batch out of the line, each deployment once.
    fn take(&self) -> Batch {
        let mut queue = self.queue();
        let (mut batch, mut later) = (Batch::new(), VecDeque::new());
        for place in std::mem::take(&mut queue.waiting) {
            if batch.len() == MAX_BATCH || batch.contains_key(&place.deployment) {
                later.push_back(place);
            } else if place.caller.claim() {
                batch.insert(place.deployment, place.caller);
            }
        }
        queue.waiting = later;
        batch
    }

    /// Takes those out of the line who have waited for so long.
    fn take_expired(&self, limit: Duration) -> Vec<Box<dyn PendingCall>> {
        let mut queue = self.queue();
        let waiting = std::mem::take(&mut queue.waiting);
        let (over, rest) = waiting.into_iter().partition(|it| it.since.is_over(limit));
        queue.waiting = rest;
        Vec::from_iter(VecDeque::<QueuedCall>::into_iter(over).map(|it| it.caller))
    }

    fn begin(&self, queue: &mut Queue) -> BatchWorker {
        queue.batches += 1;
        BatchWorker {
            batcher: self.clone(),
            over: false,
        }
    }

    /// Waits for so many, but no longer than that. Who was told how it ended often calls
    /// again, and the first to do so ought not to go without the others.
    pub(crate) async fn linger(&self, wanted: usize, at_most: Duration) {
        let enough = {
            let mut queue = self.queue();
            if queue.waiting.len() >= wanted {
                return;
            }
            let (tell, enough) = oneshot::channel();
            queue.lingering.push_back((wanted, tell));
            enough
        };
        let _ = timeout(at_most, enough).await;
    }
}

impl Queue {
    /// Tells the first who waits for as many as there are, if it still does.
    fn wake_lingering(&mut self) {
        self.lingering.retain(|(_, tell)| !tell.is_closed());
        let waiting = self.waiting.len();
        if let Some((_, tell)) = self
            .lingering
            .pop_front_if(|(wanted, _)| *wanted <= waiting)
        {
            let _ = tell.send(());
        }
    }
}

/// Those who share a transaction.
type Batch = HashMap<DeploymentId, Box<dyn PendingCall>>;

/// The right to do a batch, given up when nobody waits any more or it takes long.
pub(crate) struct BatchWorker {
    batcher: CommitBatcher,
    over: bool,
}

impl BatchWorker {
    /// Where those who wait want it done, and since when the first of them waits. Gives
    /// the right up if nobody does.
    fn next(&mut self) -> Option<(Database, WaitStart)> {
        let mut queue = self.batcher.queue();
        queue.waiting.retain(|place| !place.caller.is_gone());
        let first = queue.waiting.front().map(|it| (it.db.clone(), it.since));
        if first.is_none() {
            // In the same moment: who comes after it finds that nobody serves.
            queue.batches -= 1;
            self.over = true;
        }
        first
    }

    /// Has the line served.
    fn start(self) {
        let serve = self.serve();
        #[cfg(test)]
        let serve = crate::fail_points::inherited(serve);
        tokio::spawn(serve);
    }

    /// Serves the line until nobody is left in it, or a batch takes long.
    async fn serve(mut self) {
        while let Some((db, since)) = self.next() {
            let ended = {
                let (batcher, begun) = (self.batcher.clone(), AtomicBool::new(false));
                let mut doing = pin!(db.run_next_batch(&batcher, since, &begun));
                loop {
                    match timeout(SLOW_BATCH, doing.as_mut()).await {
                        Ok(ended) => break ended,
                        Err(_) if begun.load(Ordering::Relaxed) => {
                            self.leave();
                            break doing.await;
                        }
                        // It waits to begin, as another one would.
                        Err(_) => {}
                    }
                }
            };
            // Before anyone is told, who may be about to close it.
            drop(db);
            let calls = ended.len();
            for (caller, end) in ended {
                caller.tell(end);
            }
            if self.over {
                return;
            }
            self.batcher.linger(calls, LINGER).await;
        }
    }

    /// Leaves the line to others: whatever its batch waits for, they need not.
    fn leave(&mut self) {
        self.over = true;
        let mut queue = self.batcher.queue();
        queue.batches -= 1;
        let next = (!queue.waiting.is_empty()).then(|| self.batcher.begin(&mut queue));
        drop(queue);
        if let Some(next) = next {
            next.start();
        }
    }
}

impl Drop for BatchWorker {
    /// One that ends in the middle leaves nobody waiting for ever: where no other
    /// serves the line, all who wait are told that it was given up.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut queue = self.batcher.queue();
        queue.batches -= 1;
        if queue.batches == 0 {
            queue.waiting.clear();
        }
    }
}

impl Database {
    /// Puts a caller in line, and sees to it that someone serves the queue.
    pub(crate) fn enqueue(
        &self,
        since: WaitStart,
        deployment: DeploymentId,
        caller: Box<dyn PendingCall>,
    ) {
        if self.batcher.max_batches == 0 {
            return caller.tell(BatchOutcome::RunAlone);
        }
        let db = self.clone();
        let place = QueuedCall {
            deployment,
            since,
            caller,
            db,
        };
        if let Some(server) = self.batcher.join(place) {
            server.start();
        }
    }

    /// Whoever waits when the transaction has begun is part of it.
    async fn run_next_batch(
        &self,
        batcher: &CommitBatcher,
        since: WaitStart,
        begun: &AtomicBool,
    ) -> Vec<(Box<dyn PendingCall>, BatchOutcome)> {
        let span = info_span!("shared", calls = field::Empty);
        let (mut waiting, mut heard) = (Batch::new(), Vec::new());
        let ended = self.write_with(since, async |tx: &mut Transaction| {
            begun.store(true, Ordering::Relaxed);
            waiting = batcher.take();
            match waiting.is_empty() {
                true => Ok(()),
                false => decide_all(tx, &mut waiting, &mut heard).await,
            }
        });
        let ended = ended.instrument(span).await;
        let failed = match ended {
            Ok(()) => None,
            Err(error) if !begun.load(Ordering::Relaxed) => {
                return self.could_not_begin(batcher, error);
            }
            Err(error @ (StoreError::Unavailable(_) | StoreError::PoolTimeout)) => {
                Some(BatchOutcome::Failed(error))
            }
            Err(_) => Some(BatchOutcome::RunAlone),
        };
        let end_of = |success: BatchOutcome| failed.clone().unwrap_or(success);
        let heard = heard
            .into_iter()
            .map(|it| (it, end_of(BatchOutcome::Committed)));
        let others = waiting
            .into_values()
            .map(|it| (it, end_of(BatchOutcome::RunAlone)));
        heard.chain(others).collect()
    }

    /// Takes those out of the line whom it fails that a batch could not begin. Sent on
    /// alone they would wait anew, one after the other, for the same thing.
    fn could_not_begin(
        &self,
        batcher: &CommitBatcher,
        error: StoreError,
    ) -> Vec<(Box<dyn PendingCall>, BatchOutcome)> {
        let all = || batcher.take().into_values().collect();
        let (failed, end): (Vec<_>, _) = match error {
            // Who came later has time left.
            StoreError::PoolTimeout => (
                batcher.take_expired(self.acquire_timeout()),
                BatchOutcome::Failed(error),
            ),
            StoreError::LockTimeout => (
                batcher.take_expired(self.busy_timeout()),
                BatchOutcome::Failed(error),
            ),
            StoreError::Unavailable(_) => (all(), BatchOutcome::Failed(error)),
            // Not a wait: each finds out by itself.
            _ => (all(), BatchOutcome::RunAlone),
        };
        failed.into_iter().map(|it| (it, end.clone())).collect()
    }
}

/// Has each decide whose deployment nobody else holds, and collects what is to be
/// written. Who was heard is moved from one to the other.
async fn decide_all(
    tx: &mut Transaction,
    waiting: &mut Batch,
    heard: &mut Vec<Box<dyn PendingCall>>,
) -> Result<(), StoreError> {
    let span = Span::current();
    span.record("calls", waiting.len());
    for caller in waiting.values() {
        span.follows_from(caller.span());
    }
    let locked = tx.lock_available(waiting.keys().copied().collect()).await?;
    let now = tx.now().await?;
    let (mut changes, mut replies) = (Vec::new(), Vec::new());
    for (id, locked) in locked {
        // One that cannot be read finds that out alone.
        let Ok(locked) = locked else { continue };
        let Some(mut caller) = waiting.remove(&id) else {
            continue;
        };
        if caller.is_gone() {
            continue;
        }
        if let Some(decided) = caller.decide(locked) {
            changes.extend(decided.change);
            replies.extend(decided.reply);
        }
        heard.push(caller);
    }
    tx.carry_out_all(changes, now);
    tx.write([insert_replies(replies, now)]);
    Ok(())
}

/// For how long a batch waits for others: much less than it takes, and enough for
/// an answer to be read and the next call to be made.
const LINGER: Duration = Duration::from_millis(1);

/// How long a batch takes that waits for something that others may not wait for: many
/// times what one usually does.
const SLOW_BATCH: Duration = Duration::from_millis(100);

/// So many that one more would be hardly cheaper with them than with others.
const MAX_BATCH: usize = 16;
