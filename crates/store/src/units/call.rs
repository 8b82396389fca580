//! What every call of a unit of work brings, and how a repeat of it is harmless.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use viridian_strategy::DeploymentId;

use crate::{
    Database, Deployment,
    error::{StoreError, UnitError},
    replies::{Earlier, Request, insert_reply},
    transaction::Transaction,
    units::hold::Held,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// The deployment after it.
    pub deployment: Deployment,
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

    pub(crate) fn check_generation<R>(&self, deployment: &Deployment) -> Result<(), UnitError<R>> {
        match self.expected_generation {
            Some(expected) if expected != deployment.generation => Err(UnitError::Generation {
                expected,
                actual: deployment.generation,
            }),
            _ => Ok(()),
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
        call.check_generation(&held.deployment)?;
        Ok(held)
    }
}

impl Database {
    /// Does a unit of work once for each request id. One on a deployment that
    /// is there already waits for it in line: [`once_on`](Self::once_on).
    ///
    /// The reply is stored in the same transaction. Nothing is looked up first:
    /// a repeat is refused by the rules or stopped by the stored reply's key,
    /// leaves no trace, and only then gets the first reply.
    pub(crate) async fn once<T, R>(
        &self,
        call: &Call,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, UnitError<R>>,
    ) -> Result<T, UnitError<R>>
    where
        T: Serialize + DeserializeOwned,
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
        T: Serialize + DeserializeOwned,
    {
        let id = id.into();
        let Some(request) = &call.request else {
            return self.write_on(id, work).await;
        };
        let result = self
            .write_on(id, async |tx: &mut Transaction| {
                let reply = work(tx).await?;
                let now = tx.now().await?;
                tx.write([insert_reply(request, &reply, now)?]);
                Ok(reply)
            })
            .await;
        let Err(error) = result else { return result };
        if matches!(error, UnitError::Store(StoreError::Exhausted)) {
            return Err(error);
        }
        match self.reader().await?.find_reply(request).await? {
            Some(Earlier::Same(reply)) => Ok(reply),
            Some(Earlier::Other) => Err(UnitError::RequestIdReused),
            None => Err(error),
        }
    }
}
