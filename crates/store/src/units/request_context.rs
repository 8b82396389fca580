//! What every call of a unit of work brings, and how a repeat of it is harmless.

use std::sync::Arc;

use tokio::time::timeout_at;
use viridian_engine::WaitStart;
use viridian_strategy::DeploymentId;

use crate::{
    Deployment, Store,
    documents::Reply,
    error::{StoreError, UnitError},
    replies::{Earlier, NewReply, Request, insert_replies},
    transaction::Transaction,
    units::{
        batch::{Decider, Decision, Pending},
        change::WriteSet,
        lock::Locked,
    },
};

/// The actor of what happens without a call.
pub const COORDINATOR: &str = "coordinator";

/// Who calls, why, and on what terms.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// The name in the credentials.
    pub actor: String,
    /// Why, for the history.
    pub reason: String,
    /// What makes a repeat recognisable.
    pub request: Option<Request>,
    /// Refuse unless the deployment has this generation.
    pub expected_generation: Option<i64>,
}

/// What a call came to that gives nothing but the deployment.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The deployment after it.
    pub deployment: Deployment,
}

impl Changed {
    /// What a change gives, and the change.
    pub(crate) fn by(set: WriteSet) -> (Self, Option<WriteSet>) {
        let deployment = set.deployment.clone();
        (Self { deployment }, Some(set))
    }
}

impl RequestContext {
    /// The coordinator's, with the reason for what it does.
    pub(crate) fn coordinator(reason: String) -> Self {
        Self {
            actor: COORDINATOR.into(),
            reason,
            ..Self::default()
        }
    }
}

impl Transaction {
    /// Takes hold of the deployment that a call is about.
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
/// The reply is stored in the same transaction. Nothing is looked up first: a
/// repeat is refused by the rules or stopped by the stored reply's key, leaves no
/// trace, and only then gets the first reply.
impl Store {
    /// Does what a call comes to that needs nothing but its deployment to decide:
    /// if it can together with others who wait, or else alone.
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
            let why = "what several calls shared was given up";
            Some(Err(StoreError::Unavailable(why.into()).into()))
        });
        let result = match answer {
            Some(result) => result,
            None => self.decide_alone(since, id, call, &decider.decide).await,
        };
        self.or_stored_reply(since, call, result).await
    }

    async fn decide_alone<T: Reply, R>(
        &self,
        since: WaitStart,
        id: DeploymentId,
        call: &RequestContext,
        decide: &(impl Fn(Locked) -> Decision<T, R> + Sync),
    ) -> Result<T, UnitError<R>> {
        self.write_locked(since, [id], async |tx: &mut Transaction| {
            let locked = tx.lock(id).await?.ok_or(UnitError::NoDeployment(id))?;
            let now = locked.now;
            let (given, change) = decide(locked)?;
            let reply = NewReply::of(call.request.as_ref(), &given)?;
            tx.carry_out_all(change.into_iter().collect(), now);
            tx.write([insert_replies(reply, now)]);
            Ok(given)
        })
        .await
    }

    /// Does a unit of work. One on a deployment that is there already waits for it
    /// in line: [`idempotent_on`](Self::idempotent_on).
    pub(crate) async fn idempotent<T, R>(
        &self,
        call: &RequestContext,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
    {
        self.idempotent_on(None, call, work).await
    }

    /// The same for a unit on a deployment.
    pub(crate) async fn idempotent_on<T, R>(
        &self,
        id: impl Into<Option<DeploymentId>>,
        call: &RequestContext,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
    {
        let since = WaitStart::now();
        let result = self
            .write_locked(since, id.into(), async |tx: &mut Transaction| {
                let given = work(tx).await?;
                if let Some(reply) = NewReply::of(call.request.as_ref(), &given)? {
                    let now = tx.now().await?;
                    tx.write([insert_replies([reply], now)]);
                }
                Ok(given)
            })
            .await;
        self.or_stored_reply(since, call, result).await
    }

    /// What was given, or the reply that the request id has.
    async fn or_stored_reply<T: Reply, R>(
        &self,
        since: WaitStart,
        call: &RequestContext,
        result: Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>> {
        let (Err(error), Some(request)) = (&result, &call.request) else {
            return result;
        };
        if matches!(error, UnitError::Store(StoreError::PoolTimeout)) {
            return result;
        }
        match self.reader_since(since).await?.find_reply(request).await? {
            Some(Earlier::Same(reply)) => Ok(reply),
            Some(Earlier::Other) => Err(UnitError::RequestIdReused),
            None => result,
        }
    }
}

fn check_generation<R>(expected: Option<i64>, deployment: &Deployment) -> Result<(), UnitError<R>> {
    match expected {
        Some(expected) if expected != deployment.generation => Err(UnitError::Generation {
            expected,
            actual: deployment.generation,
        }),
        _ => Ok(()),
    }
}
