//! What all services share.

use std::sync::Arc;

use prost::Message;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use viridian_store::{Call, Database, Deployment, Request, RequestId, Revision, RevisionReference};
use viridian_strategy::DeploymentId;

use crate::{
    convert::{
        Violations,
        reference::{DeploymentReference, parse_deployment},
    },
    error::{Resource, not_found, store},
    watches::Watches,
};

/// What all services share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    database: Database,
    watches: Arc<Watches>,
    stop: CancellationToken,
}

/// The fields that every mutating request has.
pub(crate) struct Terms<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) expected_generation: Option<i64>,
    pub(crate) reason: &'a str,
}

impl Shared {
    pub(crate) fn new(database: Database, watches: Arc<Watches>, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner {
            database,
            watches,
            stop,
        }))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.0.watches
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }

    /// Finds the deployment that a caller names. The name of a deployment never
    /// changes, so that its id may be looked up before it is locked.
    pub(crate) async fn resolve(
        &self,
        text: &str,
        mut violations: Violations,
    ) -> Result<DeploymentId, Status> {
        let reference = parse_deployment("deployment", text, &mut violations);
        violations.finish()?;
        self.resolve_reference(reference, text).await
    }

    /// The same for a call. A repeat of one is about what the first was about,
    /// though the name may be free since.
    pub(crate) async fn resolve_for(
        &self,
        call: &Call,
        text: &str,
        mut violations: Violations,
    ) -> Result<DeploymentId, Status> {
        let reference = parse_deployment("deployment", text, &mut violations);
        violations.finish()?;
        let mut found = self.look_up(reference).await?;
        if let (None, Some(request)) = (found, &call.request) {
            let replied = self.database().find_replied_deployment(request).await;
            found = replied.map_err(|error| store(&error))?;
        }
        found.ok_or_else(|| not_found(Resource::Deployment, text))
    }

    pub(crate) async fn resolve_reference(
        &self,
        reference: Option<DeploymentReference>,
        text: &str,
    ) -> Result<DeploymentId, Status> {
        let found = self.look_up(reference).await?;
        found.ok_or_else(|| not_found(Resource::Deployment, text))
    }

    async fn look_up(
        &self,
        reference: Option<DeploymentReference>,
    ) -> Result<Option<DeploymentId>, Status> {
        match reference {
            Some(DeploymentReference::Id(id)) => Ok(Some(id)),
            Some(DeploymentReference::Name { project, name }) => {
                let found = self.database().find_deployment_id(&project, &name).await;
                found.map_err(|error| store(&error))
            }
            None => Ok(None),
        }
    }

    /// Finds a deployment, alive or not. `subject` is what the caller called it.
    pub(crate) async fn find(&self, id: DeploymentId, subject: &str) -> Result<Deployment, Status> {
        let found = self.database().find_deployment(id).await;
        found
            .map_err(|error| store(&error))?
            .ok_or_else(|| not_found(Resource::Deployment, subject))
    }

    /// Finds the revision of a deployment that a caller names; none when it names
    /// none. Revisions never change. `subject` is what the caller called the
    /// deployment, which may not be there either.
    pub(crate) async fn find_revision(
        &self,
        deployment: DeploymentId,
        subject: &str,
        reference: Option<RevisionReference>,
    ) -> Result<Option<Revision>, Status> {
        let Some(reference) = reference else {
            return Ok(None);
        };
        let found = self.database().find_revision(deployment, reference).await;
        if let Some(revision) = found.map_err(|error| store(&error))? {
            return Ok(Some(revision));
        }
        self.find(deployment, subject).await?;
        Err(not_found(Resource::Revision, &reference.to_string()))
    }
}

/// The terms of a mutating request, whose fields have the same names in all.
macro_rules! terms {
    ($message:expr) => {
        &$crate::state::Terms {
            request_id: &$message.request_id,
            expected_generation: $message.expected_generation,
            reason: &$message.reason,
        }
    };
}

pub(crate) use terms;

/// What a call brings besides its own fields. Two requests are the same when all
/// their bytes are.
pub(crate) fn call(
    method: &'static str,
    message: &impl Message,
    terms: &Terms<'_>,
    violations: &mut Violations,
) -> Call {
    let request = (!terms.request_id.is_empty()).then(|| Request {
        id: RequestId(violations.uuid("request_id", terms.request_id)),
        method,
        fingerprint: Sha256::digest(message.encode_to_vec()).to_vec(),
    });
    violations.text("reason", terms.reason, MAX_REASON);
    Call {
        actor: ANONYMOUS.to_owned(),
        reason: terms.reason.to_owned(),
        request,
        expected_generation: terms.expected_generation,
    }
}

/// Who calls when no credentials are configured.
const ANONYMOUS: &str = "anonymous";
const MAX_REASON: usize = 4_096;
