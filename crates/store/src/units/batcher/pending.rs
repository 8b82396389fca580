//! Whoever waits in the line, and what becomes of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;
use tracing::Span;

use crate::{
    documents::Reply,
    error::{StoreError, UnitError},
    replies::{NewReply, Request},
    units::{change::WriteSet, lock::Locked},
};

/// What a call comes to: the reply, and what is to be written, if anything.
pub(crate) type Decision<T, R> = Result<(T, Option<WriteSet>), UnitError<R>>;

/// Whoever waits in the line.
pub(crate) trait PendingCall: Send {
    /// In which it calls.
    fn span(&self) -> &Span;

    /// Whether nobody waits for the answer any more.
    fn is_gone(&self) -> bool;

    /// Takes it out of the line, if it has not left that by itself: from then on it waits
    /// for its answer however long that takes.
    fn claim(&self) -> bool;

    /// What is to be written; None when it is refused.
    fn decide(&mut self, locked: Locked) -> Option<Staged>;

    /// Tells how it ended.
    fn tell(self: Box<Self>, end: BatchOutcome);
}

/// What a caller wants to be written.
pub(crate) struct Staged {
    pub(crate) change: Option<WriteSet>,
    pub(crate) reply: Option<NewReply>,
}

/// How it ended for a caller.
#[derive(Clone)]
pub(crate) enum BatchOutcome {
    /// As it was decided.
    Committed,
    /// Nothing of it was done: it has to go alone.
    RunAlone,
    /// It failed; whether it was committed is not always known.
    Failed(StoreError),
}

/// How a call decides, which it needs both in the line and alone.
pub(crate) struct Decider<F> {
    pub(crate) decide: F,
    /// Whether a batch has taken it, or it has left the line: either, and once.
    taken: AtomicBool,
}

impl<F> Decider<F> {
    pub(crate) fn new(decide: F) -> Self {
        Self {
            decide,
            taken: AtomicBool::new(false),
        }
    }

    /// Takes the call for a batch, or out of the line. False when the other was first.
    pub(crate) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }
}

/// A caller that waits for its answer.
pub(crate) struct Pending<T, R, F> {
    span: Span,
    decider: Arc<Decider<F>>,
    request: Option<Request>,
    decided: Option<Result<T, UnitError<R>>>,
    answer: oneshot::Sender<Option<Result<T, UnitError<R>>>>,
}

impl<T, R, F> Pending<T, R, F> {
    /// The answer is None when it has to go alone.
    #[expect(clippy::type_complexity, reason = "its parts say what it is")]
    pub(crate) fn new(
        decider: Arc<Decider<F>>,
        request: Option<Request>,
    ) -> (Self, oneshot::Receiver<Option<Result<T, UnitError<R>>>>) {
        let (answer, receiver) = oneshot::channel();
        let waiting = Self {
            span: Span::current(),
            decider,
            request,
            decided: None,
            answer,
        };
        (waiting, receiver)
    }
}

impl<T, R, F> PendingCall for Pending<T, R, F>
where
    T: Reply,
    R: Send,
    F: Fn(Locked) -> Decision<T, R> + Send + Sync,
{
    fn span(&self) -> &Span {
        &self.span
    }

    fn is_gone(&self) -> bool {
        self.answer.is_closed()
    }

    fn claim(&self) -> bool {
        !self.is_gone() && self.decider.take()
    }

    fn decide(&mut self, locked: Locked) -> Option<Staged> {
        let decided = self.span.in_scope(|| (self.decider.decide)(locked));
        let decided = decided.and_then(|(given, change)| {
            let reply = NewReply::of(self.request.as_ref(), &given)?;
            Ok((given, Staged { change, reply }))
        });
        let (given, decided) = match decided {
            Ok((given, decided)) => (Ok(given), Some(decided)),
            Err(error) => (Err(error), None),
        };
        self.decided = Some(given);
        decided
    }

    fn tell(self: Box<Self>, end: BatchOutcome) {
        let answer = match end {
            BatchOutcome::Committed => self.decided,
            BatchOutcome::RunAlone => None,
            BatchOutcome::Failed(error) => Some(Err(error.into())),
        };
        // It may have gone away.
        let _ = self.answer.send(answer);
    }
}
