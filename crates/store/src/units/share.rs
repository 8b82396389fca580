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

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span, info_span};
use viridian_strategy::DeploymentId;

use crate::{
    Database,
    error::{StoreError, UnitError},
    replies::{NewReply, Request, insert_replies},
    transaction::Transaction,
    units::{change::Change, hold::Held},
};

/// What a call comes to: the reply, and what is to be written, if anything.
pub(crate) type Decision<T, R> = Result<(T, Option<Change>), UnitError<R>>;

/// Those who wait, and how many batches are under way.
#[derive(Clone)]
pub(crate) struct Share {
    line: Arc<Mutex<Line>>,
    /// How many batches at most: with fewer they are larger. With none everyone
    /// goes alone.
    most: usize,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<(DeploymentId, Box<dyn Caller>)>,
    batches: usize,
}

/// Whoever waits in the line.
pub(crate) trait Caller: Send {
    /// In which it calls.
    fn span(&self) -> &Span;

    /// Whether nobody waits for the answer any more.
    fn is_gone(&self) -> bool;

    /// What is to be written; None when it is refused.
    fn decide(&mut self, held: Held) -> Option<Decided>;

    /// Tells how it ended.
    fn tell(self: Box<Self>, end: End);
}

/// What a caller wants to be written.
pub(crate) struct Decided {
    pub(crate) change: Option<Change>,
    pub(crate) reply: Option<NewReply>,
}

/// How it ended for a caller.
#[derive(Clone)]
pub(crate) enum End {
    /// As it was decided.
    Committed,
    /// Nothing of it was done: it has to go alone.
    Alone,
    /// It failed; whether it was committed is not always known.
    Failed(StoreError),
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
}

/// Those who share a transaction.
type Batch = HashMap<DeploymentId, Box<dyn Caller>>;

/// The right to do a batch, given up when nobody waits any more.
struct Server {
    share: Share,
    over: bool,
}

impl Server {
    /// Takes the next batch out of the line, each deployment once.
    fn next(&mut self) -> Option<Batch> {
        let mut line = self.share.line();
        let (mut batch, mut later) = (Batch::new(), VecDeque::new());
        for (deployment, caller) in std::mem::take(&mut line.waiting) {
            if caller.is_gone() {
                continue;
            }
            if batch.len() == LARGEST || batch.contains_key(&deployment) {
                later.push_back((deployment, caller));
            } else {
                batch.insert(deployment, caller);
            }
        }
        line.waiting = later;
        if batch.is_empty() {
            // In the same moment: who comes after it finds that nobody serves.
            line.batches -= 1;
            self.over = true;
            return None;
        }
        Some(batch)
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
    pub(crate) fn share(&self, deployment: DeploymentId, caller: Box<dyn Caller>) {
        if self.share.most == 0 {
            return caller.tell(End::Alone);
        }
        let mut line = self.share.line();
        line.waiting.push_back((deployment, caller));
        if line.batches == self.share.most {
            return;
        }
        line.batches += 1;
        drop(line);
        let db = self.clone();
        let server = Server {
            share: self.share.clone(),
            over: false,
        };
        let serve = async move { db.serve(server).await };
        #[cfg(test)]
        let serve = crate::faults::inherited(serve);
        tokio::spawn(serve);
    }

    /// Serves the line until nobody is left in it.
    async fn serve(&self, mut server: Server) {
        while let Some(batch) = server.next() {
            self.run_batch(batch).await;
        }
    }

    async fn run_batch(&self, mut waiting: Batch) {
        let span = info_span!("shared", calls = waiting.len());
        for caller in waiting.values() {
            span.follows_from(caller.span());
        }
        let mut heard = Vec::new();
        let ended = self.write(async |tx: &mut Transaction| {
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
        });
        let ended = ended.instrument(span).await;
        let failed = match ended {
            Ok(()) => None,
            Err(error @ (StoreError::Away(_) | StoreError::Exhausted)) => Some(End::Failed(error)),
            Err(_) => Some(End::Alone),
        };
        for caller in heard {
            caller.tell(failed.clone().unwrap_or(End::Committed));
        }
        for caller in waiting.into_values() {
            caller.tell(failed.clone().unwrap_or(End::Alone));
        }
    }
}

/// A caller that waits for its answer.
pub(crate) struct Waiting<T, R, F> {
    span: Span,
    decide: Arc<F>,
    request: Option<Request>,
    decided: Option<Result<T, UnitError<R>>>,
    answer: oneshot::Sender<Option<Result<T, UnitError<R>>>>,
}

impl<T, R, F> Waiting<T, R, F> {
    /// The answer is None when it has to go alone.
    #[expect(clippy::type_complexity, reason = "its parts say what it is")]
    pub(crate) fn new(
        decide: Arc<F>,
        request: Option<Request>,
    ) -> (Self, oneshot::Receiver<Option<Result<T, UnitError<R>>>>) {
        let (answer, receiver) = oneshot::channel();
        let waiting = Self {
            span: Span::current(),
            decide,
            request,
            decided: None,
            answer,
        };
        (waiting, receiver)
    }
}

impl<T, R, F> Caller for Waiting<T, R, F>
where
    T: Serialize + Send,
    R: Send,
    F: Fn(Held) -> Decision<T, R> + Send + Sync,
{
    fn span(&self) -> &Span {
        &self.span
    }

    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn decide(&mut self, held: Held) -> Option<Decided> {
        let decided = self.span.in_scope(|| (self.decide)(held));
        let decided = decided.and_then(|(given, change)| {
            let reply = NewReply::of(self.request.as_ref(), &given)?;
            Ok((given, Decided { change, reply }))
        });
        let (given, decided) = match decided {
            Ok((given, decided)) => (Ok(given), Some(decided)),
            Err(error) => (Err(error), None),
        };
        self.decided = Some(given);
        decided
    }

    fn tell(self: Box<Self>, end: End) {
        let answer = match end {
            End::Committed => self.decided,
            End::Alone => None,
            End::Failed(error) => Some(Err(error.into())),
        };
        // It may have gone away.
        let _ = self.answer.send(answer);
    }
}

/// So many that no transaction takes long.
const LARGEST: usize = 64;
