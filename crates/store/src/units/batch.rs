//! Calls of different deployments in one transaction.
//!
//! A batch locks the deployments that are not locked yet, lets each call decide on its
//! own, and commits all of it. No caller gets an answer before that. That includes a refusal:
//! on SQLite it may rest on something that is not durable yet.
//!
//! A call runs in its own transaction if its deployment is locked by someone else, since only
//! that call should wait for it. All calls of a batch do if the batch fails.

mod pending;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::{Instrument as _, Span, field, info_span};
use viridian_engine::WaitStart;
use viridian_strategy::DeploymentId;

pub(crate) use self::pending::{Decider, Decision, Pending, PendingCall};
use crate::{
    Store,
    batcher::{BatchOutcome, BatchRunner, CommitBatcher},
    error::StoreError,
    replies::insert_replies,
    transaction::UnitTransaction,
};

type BoxedCall = Box<dyn PendingCall>;

impl BatchRunner for Store {
    type Call = BoxedCall;

    async fn run_batch(
        &self,
        batcher: &CommitBatcher<Self>,
        since: WaitStart,
        begun: &AtomicBool,
    ) -> Vec<(BoxedCall, BatchOutcome)> {
        let span = info_span!("shared", calls = field::Empty);
        // Not the current span: within the transaction that is the transaction's own.
        let shared = span.clone();
        let (mut waiting, mut decided) = (HashMap::new(), Vec::new());
        let ended = self.write_with(since, async |tx: &mut UnitTransaction| {
            // From here on a slow batch makes its worker hand the queue over.
            begun.store(true, Ordering::Relaxed);
            // Only now: until a transaction has begun, a call can leave the queue at its deadline.
            let calls = batcher.take().into_iter();
            waiting = calls.map(|call| (call.deployment(), call)).collect();
            // All of them may have left the queue while the transaction began.
            match waiting.is_empty() {
                true => Ok(()),
                false => decide_all(tx, &shared, &mut waiting, &mut decided).await,
            }
        });
        let ended = ended.instrument(span).await;
        let failed = match ended {
            Ok(()) => None,
            Err(error) if !begun.load(Ordering::Relaxed) => {
                return could_not_begin(self, batcher, error);
            }
            // COMMIT may have succeeded, so no call may be run again. Each looks for its stored
            // reply.
            Err(error) if error.is_of_database() || matches!(error, StoreError::PoolTimeout) => {
                Some(BatchOutcome::Failed(error))
            }
            // It was rolled back. Alone, the call at fault fails and the others succeed.
            Err(_) => Some(BatchOutcome::RunAlone),
        };
        let outcome = |success: BatchOutcome| failed.clone().unwrap_or(success);
        let decided = decided.into_iter();
        let decided = decided.map(|call| (call, outcome(BatchOutcome::Committed)));
        // Others have locked their deployments, or these cannot be read.
        let skipped = waiting.into_values();
        let skipped = skipped.map(|call| (call, outcome(BatchOutcome::RunAlone)));
        decided.chain(skipped).collect()
    }
}

/// Ends the calls of a batch that could not begin. Run alone, each would wait again for
/// the same thing, one after the other.
fn could_not_begin(
    store: &Store,
    batcher: &CommitBatcher<Store>,
    error: StoreError,
) -> Vec<(BoxedCall, BatchOutcome)> {
    let (calls, outcome) = match error {
        // Calls that came later still have time.
        StoreError::PoolTimeout => {
            let expired = batcher.take_expired(store.acquire_timeout());
            (expired, BatchOutcome::Failed(error))
        }
        StoreError::LockTimeout => {
            let expired = batcher.take_expired(store.busy_timeout());
            (expired, BatchOutcome::Failed(error))
        }
        StoreError::Unavailable(_) | StoreError::Unwritable(_) => {
            (batcher.take(), BatchOutcome::Failed(error))
        }
        // It was no wait, and a call alone may succeed.
        _ => (batcher.take(), BatchOutcome::RunAlone),
    };
    calls.into_iter().map(|it| (it, outcome.clone())).collect()
}

/// Lets each call decide whose deployment is available, and collects what it writes. Moves
/// the calls that decided from `waiting` to `decided`.
async fn decide_all(
    tx: &mut UnitTransaction,
    shared: &Span,
    waiting: &mut HashMap<DeploymentId, BoxedCall>,
    decided: &mut Vec<BoxedCall>,
) -> Result<(), StoreError> {
    shared.record("calls", waiting.len());
    for call in waiting.values() {
        shared.follows_from(call.span());
    }
    let locked = tx.lock_available(waiting.keys().copied().collect()).await?;
    let now = tx.now().await?;
    let (mut changes, mut replies) = (Vec::new(), Vec::new());
    for (id, locked) in locked {
        // A call whose deployment cannot be read runs alone, and gets that error there.
        let Ok(locked) = locked else { continue };
        let Some(mut call) = waiting.remove(&id) else {
            continue;
        };
        // No caller would get its reply, and nothing of it was decided yet.
        if call.is_gone() {
            continue;
        }
        let staged = call.decide(locked);
        let change = staged.as_ref().and_then(|it| it.change.as_ref());
        // Alone: if a quota refuses it here, nothing of the others' is written either.
        if change.is_some_and(|it| tx.is_limited(&it.deployment.project, &it.project_usage())) {
            waiting.insert(id, call);
            continue;
        }
        if let Some(staged) = staged {
            changes.extend(staged.change);
            replies.extend(staged.reply);
        }
        decided.push(call);
    }
    tx.carry_out_all(changes, now);
    tx.write([insert_replies(replies, now)]);
    Ok(())
}
