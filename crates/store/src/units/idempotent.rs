//! Runs units of work, so that a repeat of a call does no harm.

use std::sync::Arc;

use tokio::time::timeout_at;
use viridian_engine::{WaitStart, WriteFault};
use viridian_strategy::DeploymentId;

use crate::{
    Store,
    documents::Reply,
    error::{StoreError, UnitError},
    record::{Deployment, Updated},
    replies::{NewReply, RequestNamespace, StoredReply, insert_replies},
    transaction::UnitTransaction,
    units::{
        RequestContext,
        batch::{Decider, Decision, Pending},
        change::WriteSet,
        lock::Locked,
    },
};

impl Updated {
    /// Returns the result of a change, and the change.
    pub(crate) fn by(set: WriteSet) -> (Self, Option<WriteSet>) {
        let deployment = set.deployment.clone();
        (Self { deployment }, Some(set))
    }
}

impl UnitTransaction {
    /// Locks the deployment that a call is about.
    pub(crate) async fn lock_for<R>(
        &mut self,
        id: DeploymentId,
        call: &RequestContext,
    ) -> Result<Locked, UnitError<R>> {
        let locked = self.lock(id).await?.ok_or(UnitError::NoDeployment(id))?;
        check_generation(call.expected_generation, &locked.deployment)?;
        Ok(locked)
    }
}

/// Each unit of work is done once for each request id.
///
/// Its reply is stored in the same transaction. No look-up comes first: a repeat is refused by
/// the rules, or fails on the key of the stored reply. Either way it leaves no trace, and only
/// then reads the stored reply.
impl Store {
    /// Runs a call that needs only its deployment to decide: in a batch with others that wait,
    /// or alone if that is not possible.
    pub(crate) async fn batched<T, R>(
        &self,
        id: DeploymentId,
        call: &RequestContext,
        decide: impl Fn(Locked) -> Decision<T, R> + Send + Sync + 'static,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
        R: Send + 'static,
    {
        let expected = call.expected_generation;
        let decider = Arc::new(Decider::new(move |locked: Locked| {
            check_generation(expected, &locked.deployment)?;
            decide(locked)
        }));
        let since = WaitStart::now();
        let request = call.request.clone();
        let (pending, mut answer) = Pending::new(id, since, Arc::clone(&decider), request);
        self.batcher().enqueue(Box::new(pending), self);
        let deadline = since.deadline(self.acquire_timeout());
        let answer = match timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer,
            // No batch has taken it, so nothing of it was written.
            Err(_) if decider.take() => return Err(StoreError::PoolTimeout.into()),
            // A batch has taken it, and may commit it.
            Err(_) => answer.await,
        };
        let answer = answer.unwrap_or_else(|_| {
            // The worker panicked, or the runtime is ending.
            let why = "what several calls shared was given up";
            Some(Err(StoreError::Unavailable(why.into()).into()))
        });
        let result = match answer {
            Some(result) => result,
            None => self.decide_alone(since, id, call, &decider.decide).await,
        };
        self.or_stored_reply(since, id.into(), call, result).await
    }

    async fn decide_alone<T: Reply, R>(
        &self,
        since: WaitStart,
        id: DeploymentId,
        call: &RequestContext,
        decide: &(impl Fn(Locked) -> Decision<T, R> + Sync),
    ) -> Result<T, UnitError<R>> {
        self.write_locked(since, [id], async |tx: &mut UnitTransaction| {
            let locked = tx.lock(id).await?.ok_or(UnitError::NoDeployment(id))?;
            let now = locked.now;
            let (given, change) = decide(locked)?;
            let reply = NewReply::of(call.request.as_ref(), &given)?;
            tx.carry_out_all(change.into_iter().collect(), now);
            // A repeat changes no row here. That is a conflict, which rolls back all that it wrote.
            tx.write([insert_replies(reply, now)]);
            Ok(given)
        })
        .await
    }

    /// Runs a unit of work: on a deployment, for whose lock it waits, or on a project, which
    /// has no lock.
    pub(crate) async fn idempotent<T, R>(
        &self,
        namespace: impl Into<RequestNamespace<'_>>,
        call: &RequestContext,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
    {
        let (since, namespace) = (WaitStart::now(), namespace.into());
        let result = self
            .write_locked(
                since,
                namespace.deployment(),
                async |tx: &mut UnitTransaction| {
                    let given = work(tx).await?;
                    if let Some(reply) = NewReply::of(call.request.as_ref(), &given)? {
                        let now = tx.now().await?;
                        tx.write([insert_replies([reply], now)]);
                    }
                    Ok(given)
                },
            )
            .await;
        self.or_stored_reply(since, namespace, call, result).await
    }

    /// Returns the result, or the reply that is stored for the request id.
    pub(super) async fn or_stored_reply<T: Reply, R>(
        &self,
        since: WaitStart,
        namespace: RequestNamespace<'_>,
        call: &RequestContext,
        result: Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>> {
        // Also after a refusal: the repeat of a promotion is refused because the first one
        // succeeded.
        let (Err(error), Some(request)) = (&result, &call.request) else {
            return result;
        };
        // The reply would be read from the file that is lost, where the call may have been
        // committed.
        if matches!(
            error,
            UnitError::Store(StoreError::Unwritable(WriteFault::FileMoved(_)))
        ) {
            return result;
        }
        // Nothing was tried, and the look-up would wait for the same connections.
        if matches!(error, UnitError::Store(StoreError::PoolTimeout)) {
            return result;
        }
        // Since the call began to wait: the look-up gets only what is left of its time.
        let mut reader = self.reader_since(since).await?;
        match reader.find_reply(namespace, request).await? {
            Some(StoredReply::Same(reply)) => Ok(reply),
            Some(StoredReply::Other) => Err(UnitError::RequestIdReused),
            None => result,
        }
    }
}

pub(super) fn check_generation<R>(
    expected: Option<i64>,
    deployment: &Deployment,
) -> Result<(), UnitError<R>> {
    match expected {
        Some(expected) if expected != deployment.generation => Err(UnitError::Generation {
            expected,
            actual: deployment.generation,
        }),
        _ => Ok(()),
    }
}
