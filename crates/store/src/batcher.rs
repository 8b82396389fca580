//! Group commit: calls that wait at the same time share one transaction, since most of what
//! one call costs is its transaction.
//!
//! A call joins the queue. A worker begins a transaction, and only then takes the calls that
//! wait: so until then a call is in the queue, and leaves it at its own deadline. How a batch
//! is run is the [`BatchRunner`]'s.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};
use viridian_engine::WaitStart;
use viridian_strategy::DeploymentId;

use crate::error::StoreError;

/// A call that waits.
pub(crate) trait QueuedCall: Send + 'static {
    /// Returns its deployment: a batch has each of them once.
    fn deployment(&self) -> DeploymentId;

    /// Returns when it began to wait.
    fn since(&self) -> WaitStart;

    /// Returns whether its caller is gone.
    fn is_gone(&self) -> bool;

    /// Takes it for a batch, unless it has left the queue by itself. After that it waits for
    /// its outcome without a deadline.
    fn claim(&self) -> bool;

    /// Passes the outcome to its caller.
    fn complete(self, outcome: BatchOutcome);
}

/// How a batch ended for one of its calls.
#[derive(Clone)]
pub(crate) enum BatchOutcome {
    /// It was decided and committed.
    Committed,
    /// Nothing of it was written. It has to run in a transaction of its own.
    RunAlone,
    /// It failed. It may have been committed all the same.
    Failed(StoreError),
}

/// Runs batches.
pub(crate) trait BatchRunner: Clone + Send + Sync + 'static {
    /// A call that waits.
    type Call: QueuedCall;

    /// Begins a transaction, sets `begun`, and runs the calls that wait then. `since` is when
    /// the first of them began to wait.
    fn run_batch(
        &self,
        batcher: &CommitBatcher<Self>,
        since: WaitStart,
        begun: &AtomicBool,
    ) -> impl Future<Output = Vec<(Self::Call, BatchOutcome)>> + Send;
}

/// The queue, and how many batches are under way.
pub(crate) struct CommitBatcher<R: BatchRunner> {
    queue: Arc<Mutex<Queue<R>>>,
    /// With none, every call runs alone.
    max_batches: usize,
}

impl<R: BatchRunner> Clone for CommitBatcher<R> {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
            max_batches: self.max_batches,
        }
    }
}

struct Queue<R: BatchRunner> {
    /// Each with the runner that it came by: a worker keeps none, so that no database
    /// stays open while no call waits.
    waiting: VecDeque<(R::Call, R)>,
    batches: usize,
    /// How many calls a worker lingers for, and how it learns that they are there.
    lingering: VecDeque<(usize, oneshot::Sender<()>)>,
}

impl<R: BatchRunner> CommitBatcher<R> {
    pub(crate) fn new(max_batches: usize) -> Self {
        let queue = Queue {
            waiting: VecDeque::new(),
            batches: 0,
            lingering: VecDeque::new(),
        };
        Self {
            queue: Arc::new(Mutex::new(queue)),
            max_batches,
        }
    }

    /// Returns whether no worker is under way.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.queue().batches == 0
    }

    /// Adds a call, and starts a worker if none takes it soon.
    pub(crate) fn enqueue(&self, call: R::Call, runner: &R) {
        if self.max_batches == 0 {
            return call.complete(BatchOutcome::RunAlone);
        }
        if let Some(worker) = self.push(call, runner.clone()) {
            worker.start();
        }
    }

    /// Adds a call. Returns a worker if one is to be started.
    pub(crate) fn push(&self, call: R::Call, runner: R) -> Option<BatchWorker<R>> {
        let mut queue = self.queue();
        queue.waiting.push_back((call, runner));
        // Under the lock of the push: a worker that begins to linger counts this call already.
        queue.wake_lingering();
        // A second batch has to be worth it: most of what a small one costs is the
        // transaction, so fewer and larger batches are cheaper.
        let is_worth_it = queue.batches == 0 || queue.waiting.len() >= MAX_BATCH;
        (queue.batches < self.max_batches && is_worth_it).then(|| self.worker(&mut queue))
    }

    /// Takes the next batch, with each deployment once.
    pub(crate) fn take(&self) -> Vec<R::Call> {
        let mut queue = self.queue();
        let mut batch: Vec<R::Call> = Vec::new();
        let mut later = VecDeque::new();
        for (call, runner) in std::mem::take(&mut queue.waiting) {
            let deployment = call.deployment();
            // A second call would decide on what the first one leaves, and that is not written yet.
            let is_taken = || batch.iter().any(|it| it.deployment() == deployment);
            if batch.len() == MAX_BATCH || is_taken() {
                later.push_back((call, runner));
            } else if call.claim() {
                batch.push(call);
            }
        }
        queue.waiting = later;
        batch
    }

    /// Takes the calls whose limit has ended. Later ones still have time.
    pub(crate) fn take_expired(&self, limit: Duration) -> Vec<R::Call> {
        let mut queue = self.queue();
        let waiting = std::mem::take(&mut queue.waiting);
        let (expired, rest): (VecDeque<_>, _) = waiting
            .into_iter()
            .partition(|(call, _)| call.since().is_over(limit));
        queue.waiting = rest;
        expired.into_iter().map(|(call, _)| call).collect()
    }

    /// Waits until `wanted` calls are in the queue, or for `at_most`. Callers that got their
    /// answer often call again, and the first of them should not go without the others.
    pub(crate) async fn linger(&self, wanted: usize, at_most: Duration) {
        let enough = {
            let mut queue = self.queue();
            if queue.waiting.len() >= wanted {
                return;
            }
            let (sender, enough) = oneshot::channel();
            queue.lingering.push_back((wanted, sender));
            enough
        };
        // Whether they came or not: the worker goes on with the calls that wait.
        let _ = timeout(at_most, enough).await;
    }

    fn worker(&self, queue: &mut Queue<R>) -> BatchWorker<R> {
        queue.batches += 1;
        BatchWorker {
            batcher: self.clone(),
            ended: false,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<R>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: BatchRunner> Queue<R> {
    /// Wakes the first worker that lingers for as many calls as there are.
    fn wake_lingering(&mut self) {
        self.lingering.retain(|(_, sender)| !sender.is_closed());
        let waiting = self.waiting.len();
        if let Some((_, sender)) = self
            .lingering
            .pop_front_if(|(wanted, _)| *wanted <= waiting)
        {
            let _ = sender.send(());
        }
    }
}

/// Runs batches until no call waits, or until one of its batches is slow.
pub(crate) struct BatchWorker<R: BatchRunner> {
    batcher: CommitBatcher<R>,
    ended: bool,
}

impl<R: BatchRunner> BatchWorker<R> {
    fn start(self) {
        let run = self.run();
        #[cfg(test)]
        let run = viridian_engine::fail_points::inherited(run);
        tokio::spawn(run);
    }

    async fn run(mut self) {
        while let Some((runner, since)) = self.next() {
            let batcher = self.batcher.clone();
            let begun = AtomicBool::new(false);
            let outcomes = {
                let mut batch = pin!(runner.run_batch(&batcher, since, &begun));
                loop {
                    // Only borrowed: the timeout must not cancel a batch that may be at its COMMIT.
                    match timeout(SLOW_BATCH, batch.as_mut()).await {
                        Ok(outcomes) => break outcomes,
                        Err(_) if begun.load(Ordering::Relaxed) => {
                            self.hand_over();
                            break batch.await;
                        }
                        // It waits to begin. Another worker would wait for the same thing.
                        Err(_) => {}
                    }
                }
            };
            // Before the callers get their answers: they may be about to close the database.
            drop(runner);
            let calls = outcomes.len();
            for (call, outcome) in outcomes {
                call.complete(outcome);
            }
            if self.ended {
                return;
            }
            self.batcher.linger(calls, LINGER).await;
        }
    }

    /// Returns how to run the next batch, and when its first call began to wait. Ends the
    /// worker if no call waits.
    fn next(&mut self) -> Option<(R, WaitStart)> {
        let mut queue = self.batcher.queue();
        queue.waiting.retain(|(call, _)| !call.is_gone());
        let first = queue.waiting.front();
        let first = first.map(|(call, runner)| (runner.clone(), call.since()));
        if first.is_none() {
            // Under the same lock: the next call has to find that no worker takes it.
            queue.batches -= 1;
            self.ended = true;
        }
        first
    }

    /// Leaves the queue to another worker: no other call has to wait for what this batch
    /// waits for.
    fn hand_over(&mut self) {
        // Its place is given back here, and `drop` must not give it back once more.
        self.ended = true;
        let mut queue = self.batcher.queue();
        queue.batches -= 1;
        let next = (!queue.waiting.is_empty()).then(|| self.batcher.worker(&mut queue));
        drop(queue);
        if let Some(next) = next {
            next.start();
        }
    }
}

impl<R: BatchRunner> Drop for BatchWorker<R> {
    /// A worker that panics or is cancelled leaves no call waiting for ever: if it was the
    /// last one, all calls are dropped, and their callers get an error.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let mut queue = self.batcher.queue();
        queue.batches -= 1;
        if queue.batches == 0 {
            queue.waiting.clear();
        }
    }
}

/// How long a worker lingers: much less than a batch takes, and enough to read an answer and
/// make the next call.
const LINGER: Duration = Duration::from_millis(1);

/// A batch that takes longer waits for something that other calls need not wait for.
const SLOW_BATCH: Duration = Duration::from_millis(100);

/// In a larger batch one more call would hardly be cheaper than in another batch.
const MAX_BATCH: usize = 16;

#[cfg(test)]
mod tests {
    use futures::poll;
    use uuid::Uuid;

    use super::*;

    #[derive(Clone)]
    struct NoRunner;

    struct Call(DeploymentId);

    impl QueuedCall for Call {
        fn deployment(&self) -> DeploymentId {
            self.0
        }

        fn since(&self) -> WaitStart {
            WaitStart::now()
        }

        fn is_gone(&self) -> bool {
            false
        }

        fn claim(&self) -> bool {
            true
        }

        fn complete(self, _: BatchOutcome) {}
    }

    impl BatchRunner for NoRunner {
        type Call = Call;

        async fn run_batch(
            &self,
            _: &CommitBatcher<Self>,
            _: WaitStart,
            _: &AtomicBool,
        ) -> Vec<(Call, BatchOutcome)> {
            Vec::new()
        }
    }

    fn call(number: u128) -> Call {
        Call(DeploymentId(Uuid::from_u128(number)))
    }

    /// Its lingering has no end, so it ends only because the calls are there.
    #[tokio::test]
    async fn a_worker_lingers_for_as_many_calls_as_before() {
        let batcher = CommitBatcher::new(1);
        let push = |number| batcher.push(call(number), NoRunner);
        let worker = push(1);
        assert!(
            worker.is_some() && push(2).is_none(),
            "one worker is enough"
        );
        batcher.linger(2, Duration::MAX).await;

        let mut lingering = pin!(batcher.linger(4, Duration::MAX));
        assert!(poll!(&mut lingering).is_pending());
        push(3);
        assert!(poll!(&mut lingering).is_pending());
        push(4);
        lingering.await;

        batcher.linger(5, Duration::from_millis(1)).await;
    }

    #[test]
    fn a_batch_has_each_deployment_once_and_leaves_the_rest_in_order() {
        let batcher = CommitBatcher::new(1);
        let _worker = batcher.push(call(0), NoRunner);
        for number in [1, 0, 2, 0] {
            batcher.push(call(number), NoRunner);
        }
        let numbers = |batch: Vec<Call>| Vec::from_iter(batch.iter().map(|it| it.0.0.as_u128()));
        assert_eq!(numbers(batcher.take()), [0, 1, 2]);
        assert_eq!(numbers(batcher.take()), [0]);
        assert_eq!(numbers(batcher.take()), [0]);
        for number in 0..MAX_BATCH + 1 {
            batcher.push(call(number as u128), NoRunner);
        }
        assert_eq!(batcher.take().len(), MAX_BATCH);
        assert_eq!(batcher.take().len(), 1);
    }
}
