//! What every call of a unit of work brings, and how a repeat of it is harmless.

use std::sync::Arc;

use tokio::time::timeout_at;
use viridian_strategy::DeploymentId;

use crate::{
    Database, Deployment,
    database::WaitStart,
    documents::Reply,
    error::{StoreError, UnitError},
    replies::{Earlier, NewReply, Request, insert_replies},
    transaction::Transaction,
    units::{
        change::Change,
        hold::Held,
        share::{Decider, Decision, Waiting},
    },
};

/// The actor of what happens without a call.
pub const COORDINATOR: &str = "coordinator";

/// Who calls, why, and on what terms.
#[derive(Clone, Debug, Default)]
pub struct Call {
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
    pub(crate) fn by(change: Change) -> (Self, Option<Change>) {
        let deployment = change.deployment.clone();
        (Self { deployment }, Some(change))
    }
}

impl Call {
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
    pub(crate) async fn hold_for<R>(
        &mut self,
        id: DeploymentId,
        call: &Call,
    ) -> Result<Held, UnitError<R>> {
        let held = self.hold(id).await?.ok_or(UnitError::NoDeployment(id))?;
        check_generation(call.expected_generation, &held.deployment)?;
        Ok(held)
    }
}

/// Each unit of work is done once for each request id.
///
/// The reply is stored in the same transaction. Nothing is looked up first: a
/// repeat is refused by the rules or stopped by the stored reply's key, leaves no
/// trace, and only then gets the first reply.
impl Database {
    /// Does what a call comes to that needs nothing but its deployment to decide:
    /// if it can together with others who wait, or else alone.
    pub(crate) async fn decide_on<T, R>(
        &self,
        id: DeploymentId,
        call: &Call,
        decide: impl Fn(Held) -> Decision<T, R> + Send + Sync + 'static,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
        R: Send + 'static,
    {
        let expected = call.expected_generation;
        let decider = Arc::new(Decider::new(move |held: Held| {
            check_generation(expected, &held.deployment)?;
            decide(held)
        }));
        let since = WaitStart::now();
        let (caller, mut answer) = Waiting::new(Arc::clone(&decider), call.request.clone());
        self.share(since, id, Box::new(caller));
        let deadline = since.deadline(self.acquire_timeout());
        let answer = match timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer,
            // A batch that cannot begin is not waited for.
            Err(_) if decider.take() => return Err(StoreError::Exhausted.into()),
            // One that has begun may commit it.
            Err(_) => answer.await,
        };
        let answer = answer.unwrap_or_else(|_| {
            let why = "what several calls shared was given up";
            Some(Err(StoreError::Away(why.into()).into()))
        });
        let result = match answer {
            Some(result) => result,
            None => self.decide_alone(since, id, call, &decider.decide).await,
        };
        self.or_first_reply(since, call, result).await
    }

    async fn decide_alone<T: Reply, R>(
        &self,
        since: WaitStart,
        id: DeploymentId,
        call: &Call,
        decide: &(impl Fn(Held) -> Decision<T, R> + Sync),
    ) -> Result<T, UnitError<R>> {
        self.write_on(since, [id], async |tx: &mut Transaction| {
            let held = tx.hold(id).await?.ok_or(UnitError::NoDeployment(id))?;
            let now = held.now;
            let (given, change) = decide(held)?;
            let reply = NewReply::of(call.request.as_ref(), &given)?;
            tx.carry_out_all(change.into_iter().collect(), now);
            tx.write([insert_replies(reply, now)]);
            Ok(given)
        })
        .await
    }

    /// Does a unit of work. One on a deployment that is there already waits for it
    /// in line: [`once_on`](Self::once_on).
    pub(crate) async fn once<T, R>(
        &self,
        call: &Call,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
    {
        self.once_on(None, call, work).await
    }

    /// The same for a unit on a deployment.
    pub(crate) async fn once_on<T, R>(
        &self,
        id: impl Into<Option<DeploymentId>>,
        call: &Call,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>>
    where
        T: Reply,
    {
        let since = WaitStart::now();
        let result = self
            .write_on(since, id.into(), async |tx: &mut Transaction| {
                let given = work(tx).await?;
                if let Some(reply) = NewReply::of(call.request.as_ref(), &given)? {
                    let now = tx.now().await?;
                    tx.write([insert_replies([reply], now)]);
                }
                Ok(given)
            })
            .await;
        self.or_first_reply(since, call, result).await
    }

    /// What was given, or the reply that the request id has.
    async fn or_first_reply<T: Reply, R>(
        &self,
        since: WaitStart,
        call: &Call,
        result: Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>> {
        let (Err(error), Some(request)) = (&result, &call.request) else {
            return result;
        };
        if matches!(error, UnitError::Store(StoreError::Exhausted)) {
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
