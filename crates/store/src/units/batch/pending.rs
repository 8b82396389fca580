//! A call that waits for its batch.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::oneshot;
use tracing::Span;
use viridian_engine::WaitStart;
use viridian_strategy::DeploymentId;

use crate::{
    batcher::{BatchOutcome, QueuedCall},
    documents::Reply,
    error::UnitError,
    record::Request,
    replies::NewReply,
    units::{change::WriteSet, lock::Locked},
};

/// What a call comes to: its reply, and what it writes, if anything.
pub(crate) type Decision<T, R> = Result<(T, Option<WriteSet>), UnitError<R>>;

/// A call that waits, and decides in a batch.
pub(crate) trait PendingCall: Send {
    /// Returns its deployment.
    fn deployment(&self) -> DeploymentId;

    /// Returns when it began to wait.
    fn since(&self) -> WaitStart;

    /// Returns the span in which it was called.
    fn span(&self) -> &Span;

    /// Returns whether its caller is gone.
    fn is_gone(&self) -> bool;

    /// Takes it for a batch: see [`QueuedCall::claim`].
    fn claim(&self) -> bool;

    /// Returns what it writes. None when it is refused.
    fn decide(&mut self, locked: Locked) -> Option<Staged>;

    /// Passes the outcome to its caller.
    fn complete(self: Box<Self>, outcome: BatchOutcome);
}

impl QueuedCall for Box<dyn PendingCall> {
    fn deployment(&self) -> DeploymentId {
        (**self).deployment()
    }

    fn since(&self) -> WaitStart {
        (**self).since()
    }

    fn is_gone(&self) -> bool {
        (**self).is_gone()
    }

    fn claim(&self) -> bool {
        (**self).claim()
    }

    fn complete(self, outcome: BatchOutcome) {
        PendingCall::complete(self, outcome);
    }
}

/// What a call writes once its batch commits.
pub(crate) struct Staged {
    pub(crate) change: Option<WriteSet>,
    pub(crate) reply: Option<NewReply>,
}

/// How a call decides, in a batch or alone.
pub(crate) struct Decider<F> {
    pub(crate) decide: F,
    /// Whether a batch has taken it, or it has left the queue: one of them, and once.
    taken: AtomicBool,
}

impl<F> Decider<F> {
    pub(crate) fn new(decide: F) -> Self {
        Self {
            decide,
            taken: AtomicBool::new(false),
        }
    }

    /// Takes the call for a batch, or out of the queue. False when the other was first.
    pub(crate) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }
}

/// The answer to a call. None when it has to run alone.
type Answer<T, R> = Option<Result<T, UnitError<R>>>;

/// A call that waits for its answer.
pub(crate) struct Pending<T, R, F> {
    deployment: DeploymentId,
    since: WaitStart,
    span: Span,
    decider: Arc<Decider<F>>,
    request: Option<Request>,
    decided: Answer<T, R>,
    answer: oneshot::Sender<Answer<T, R>>,
}

impl<T, R, F> Pending<T, R, F> {
    pub(crate) fn new(
        deployment: DeploymentId,
        since: WaitStart,
        decider: Arc<Decider<F>>,
        request: Option<Request>,
    ) -> (Self, oneshot::Receiver<Answer<T, R>>) {
        let (answer, receiver) = oneshot::channel();
        let pending = Self {
            deployment,
            since,
            span: Span::current(),
            decider,
            request,
            decided: None,
            answer,
        };
        (pending, receiver)
    }
}

impl<T, R, F> PendingCall for Pending<T, R, F>
where
    T: Reply + Send,
    R: Send,
    F: Fn(Locked) -> Decision<T, R> + Send + Sync,
{
    fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    fn since(&self) -> WaitStart {
        self.since
    }

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
            // Within the decision: a reply that cannot be written fails this call and not the
            // batch.
            let reply = NewReply::of(self.request.as_ref(), &given)?;
            Ok((given, Staged { change, reply }))
        });
        let (given, staged) = match decided {
            Ok((given, staged)) => (Ok(given), Some(staged)),
            Err(error) => (Err(error), None),
        };
        // Kept until `complete`: no caller may learn of its result before the batch is committed.
        self.decided = Some(given);
        staged
    }

    fn complete(self: Box<Self>, outcome: BatchOutcome) {
        let answer = match outcome {
            BatchOutcome::Committed => self.decided,
            BatchOutcome::RunAlone => None,
            BatchOutcome::Failed(error) => Some(Err(error.into())),
        };
        // Its caller may be gone.
        let _ = self.answer.send(answer);
    }
}
