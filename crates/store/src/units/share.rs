//! Callers of different deployments who wait at the same time share one
//! transaction: what each of them costs by itself is mostly the transaction.
//!
//! A call that needs nothing but its deployment to decide says how it decides,
//! and gets in line. A batch takes hold of the deployments of all who wait and
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

mod caller;

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
pub(crate) use self::caller::Decided;
pub(crate) use self::caller::{Caller, Decider, Decision, End, Waiting};
use crate::{
    Database, database::WaitStart, error::StoreError, replies::insert_replies,
    transaction::Transaction,
};

/// Those who wait, and how many batches are under way.
#[derive(Clone)]
pub(crate) struct Share {
    line: Arc<Mutex<Line>>,
    /// How many batches at most. With none everyone goes alone.
    most: usize,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Place>,
    batches: usize,
    /// How many are waited for, and who is told when they are there.
    gathering: VecDeque<(usize, oneshot::Sender<()>)>,
}

/// A place in the line.
pub(crate) struct Place {
    pub(crate) deployment: DeploymentId,
    /// When its call began to wait.
    pub(crate) since: WaitStart,
    pub(crate) caller: Box<dyn Caller>,
    /// Who serves the line has none of its own, so as to keep none open.
    pub(crate) db: Database,
}

impl Share {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            line: Arc::default(),
            most,
        }
    }

    /// Whether nobody serves the line: whoever comes next has someone begin to.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.line().batches == 0
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts someone in the line. Gives the right to serve it, if that is free.
    pub(crate) fn join(&self, place: Place) -> Option<Server> {
        let mut line = self.line();
        line.waiting.push_back(place);
        line.tell_of_enough();
        // One that is begun beside another has to be worth it: fewer batches are
        // larger ones, and most of what a small one costs is the transaction.
        let is_worth_it = line.batches == 0 || line.waiting.len() >= LARGEST;
        (line.batches < self.most && is_worth_it).then(|| self.begin(&mut line))
    }

    /// Takes the next batch out of the line, each deployment once.
    fn take(&self) -> Batch {
        let mut line = self.line();
        let (mut batch, mut later) = (Batch::new(), VecDeque::new());
        for place in std::mem::take(&mut line.waiting) {
            if batch.len() == LARGEST || batch.contains_key(&place.deployment) {
                later.push_back(place);
            } else if place.caller.claim() {
                batch.insert(place.deployment, place.caller);
            }
        }
        line.waiting = later;
        batch
    }

    /// Takes those out of the line who have waited for so long.
    fn take_over(&self, limit: Duration) -> Vec<Box<dyn Caller>> {
        let mut line = self.line();
        let waiting = std::mem::take(&mut line.waiting);
        let (over, rest) = waiting.into_iter().partition(|it| it.since.is_over(limit));
        line.waiting = rest;
        Vec::from_iter(VecDeque::<Place>::into_iter(over).map(|it| it.caller))
    }

    fn begin(&self, line: &mut Line) -> Server {
        line.batches += 1;
        Server {
            share: self.clone(),
            over: false,
        }
    }

    /// Waits for so many, but no longer than that. Who was told how it ended often calls
    /// again, and the first to do so ought not to go without the others.
    pub(crate) async fn gather(&self, wanted: usize, at_most: Duration) {
        let enough = {
            let mut line = self.line();
            if line.waiting.len() >= wanted {
                return;
            }
            let (tell, enough) = oneshot::channel();
            line.gathering.push_back((wanted, tell));
            enough
        };
        let _ = timeout(at_most, enough).await;
    }
}

impl Line {
    /// Tells the first who waits for as many as there are, if it still does.
    fn tell_of_enough(&mut self) {
        self.gathering.retain(|(_, tell)| !tell.is_closed());
        let waiting = self.waiting.len();
        if let Some((_, tell)) = self
            .gathering
            .pop_front_if(|(wanted, _)| *wanted <= waiting)
        {
            let _ = tell.send(());
        }
    }
}

/// Those who share a transaction.
type Batch = HashMap<DeploymentId, Box<dyn Caller>>;

/// The right to do a batch, given up when nobody waits any more or it takes long.
pub(crate) struct Server {
    share: Share,
    over: bool,
}

impl Server {
    /// Where those who wait want it done, and since when the first of them waits. Gives
    /// the right up if nobody does.
    fn next(&mut self) -> Option<(Database, WaitStart)> {
        let mut line = self.share.line();
        line.waiting.retain(|place| !place.caller.is_gone());
        let first = line.waiting.front().map(|it| (it.db.clone(), it.since));
        if first.is_none() {
            // In the same moment: who comes after it finds that nobody serves.
            line.batches -= 1;
            self.over = true;
        }
        first
    }

    /// Has the line served.
    fn start(self) {
        let serve = self.serve();
        #[cfg(test)]
        let serve = crate::faults::inherited(serve);
        tokio::spawn(serve);
    }

    /// Serves the line until nobody is left in it, or a batch takes long.
    async fn serve(mut self) {
        while let Some((db, since)) = self.next() {
            let ended = {
                let (share, begun) = (self.share.clone(), AtomicBool::new(false));
                let mut doing = pin!(db.run_next_batch(&share, since, &begun));
                loop {
                    match timeout(LONG, doing.as_mut()).await {
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
            self.share.gather(calls, PATIENCE).await;
        }
    }

    /// Leaves the line to others: whatever its batch waits for, they need not.
    fn leave(&mut self) {
        self.over = true;
        let mut line = self.share.line();
        line.batches -= 1;
        let next = (!line.waiting.is_empty()).then(|| self.share.begin(&mut line));
        drop(line);
        if let Some(next) = next {
            next.start();
        }
    }
}

impl Drop for Server {
    /// One that ends in the middle leaves nobody waiting for ever: where no other
    /// serves the line, all who wait are told that it was given up.
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut line = self.share.line();
        line.batches -= 1;
        if line.batches == 0 {
            line.waiting.clear();
        }
    }
}

impl Database {
    /// Puts a caller in line, and sees to it that someone serves the line.
    pub(crate) fn share(
        &self,
        since: WaitStart,
        deployment: DeploymentId,
        caller: Box<dyn Caller>,
    ) {
        if self.share.most == 0 {
            return caller.tell(End::Alone);
        }
        let db = self.clone();
        let place = Place {
            deployment,
            since,
            caller,
            db,
        };
        if let Some(server) = self.share.join(place) {
            server.start();
        }
    }

    /// Whoever waits when the transaction has begun is part of it.
    async fn run_next_batch(
        &self,
        share: &Share,
        since: WaitStart,
        begun: &AtomicBool,
    ) -> Vec<(Box<dyn Caller>, End)> {
        let span = info_span!("shared", calls = field::Empty);
        let (mut waiting, mut heard) = (Batch::new(), Vec::new());
        let ended = self.write_many(since, async |tx: &mut Transaction| {
            begun.store(true, Ordering::Relaxed);
            waiting = share.take();
            match waiting.is_empty() {
                true => Ok(()),
                false => decide_all(tx, &mut waiting, &mut heard).await,
            }
        });
        let ended = ended.instrument(span).await;
        let failed = match ended {
            Ok(()) => None,
            Err(error) if !begun.load(Ordering::Relaxed) => {
                return self.could_not_begin(share, error);
            }
            Err(error @ (StoreError::Away(_) | StoreError::Exhausted)) => Some(End::Failed(error)),
            Err(_) => Some(End::Alone),
        };
        let end_of = |success: End| failed.clone().unwrap_or(success);
        let heard = heard.into_iter().map(|it| (it, end_of(End::Committed)));
        let others = waiting.into_values().map(|it| (it, end_of(End::Alone)));
        heard.chain(others).collect()
    }

    /// Takes those out of the line whom it fails that a batch could not begin. Sent on
    /// alone they would wait anew, one after the other, for the same thing.
    fn could_not_begin(&self, share: &Share, error: StoreError) -> Vec<(Box<dyn Caller>, End)> {
        let all = || share.take().into_values().collect();
        let (failed, end): (Vec<_>, _) = match error {
            // Who came later has time left.
            StoreError::Exhausted => (share.take_over(self.acquire_timeout()), End::Failed(error)),
            StoreError::Held => (share.take_over(self.busy_timeout()), End::Failed(error)),
            StoreError::Away(_) => (all(), End::Failed(error)),
            // Not a wait: each finds out by itself.
            _ => (all(), End::Alone),
        };
        failed.into_iter().map(|it| (it, end.clone())).collect()
    }
}

/// Has each decide whose deployment nobody else holds, and collects what is to be
/// written. Who was heard is moved from one to the other.
async fn decide_all(
    tx: &mut Transaction,
    waiting: &mut Batch,
    heard: &mut Vec<Box<dyn Caller>>,
) -> Result<(), StoreError> {
    let span = Span::current();
    span.record("calls", waiting.len());
    for caller in waiting.values() {
        span.follows_from(caller.span());
    }
    let held = tx.hold_free(waiting.keys().copied().collect()).await?;
    let now = tx.now().await?;
    let (mut changes, mut replies) = (Vec::new(), Vec::new());
    for (id, held) in held {
        // One that cannot be read finds that out alone.
        let Ok(held) = held else { continue };
        let Some(mut caller) = waiting.remove(&id) else {
            continue;
        };
        if caller.is_gone() {
            continue;
        }
        if let Some(decided) = caller.decide(held) {
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
const PATIENCE: Duration = Duration::from_millis(1);

/// How long a batch takes that waits for something that others may not wait for: many
/// times what one usually does.
const LONG: Duration = Duration::from_millis(100);

/// So many that one more would be hardly cheaper with them than with others.
const LARGEST: usize = 16;
