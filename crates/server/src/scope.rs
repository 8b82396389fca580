//! What one caller may see and touch.
//!
//! Services read the record only through a [`Scope`]: it finds every deployment that a
//! request names, and checks that the deployment is in one of the caller's projects. A
//! named project that is not the caller's is refused, whether it exists or not. By id,
//! a deployment of another project does not exist.

mod mutation;
mod resource_groups;
mod set;

use std::{
    collections::HashSet,
    ops::{Deref, DerefMut},
    time::Duration,
};

use prost::Message;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use tonic::{Request as GrpcRequest, Status};
use viridian_feeds::Feeds;
use viridian_store::{
    Deployment, Projects, RequestContext, Revision, RevisionReference, Store, StoreConnection,
    StoreError,
};
use viridian_strategy::{DeploymentId, RouteId};

use crate::{
    auth::{Caller, Role},
    convert::{
        Violations,
        reference::{DeploymentReference, parse_deployment},
        revision::EnvironValues,
    },
    error::{ResourceKind, credentials_missing, not_found, project_not_allowed, store},
    log_throttle::{AdmittedLine, admit_line},
    secrets::SecretFolder,
    state::ServerState,
    token::TokenSeal,
};

pub(crate) use mutation::{MutationFields, mutation_fields};
pub(crate) use set::NamedMember;

/// The record, as one caller may see it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scope {
    shared: ServerState,
    caller: Caller,
}

/// A connection to read with, of a caller's share.
pub(crate) struct ScopedReader {
    connection: StoreConnection,
    _share: Option<OwnedSemaphorePermit>,
}

impl Deref for ScopedReader {
    type Target = StoreConnection;

    fn deref(&self) -> &StoreConnection {
        &self.connection
    }
}

impl DerefMut for ScopedReader {
    fn deref_mut(&mut self) -> &mut StoreConnection {
        &mut self.connection
    }
}

impl ServerState {
    /// Takes a request apart: what its caller may see, and what they ask for.
    pub(crate) fn open<T>(&self, request: GrpcRequest<T>) -> Result<(Scope, T), Status> {
        let caller = request.extensions().get::<Caller>().cloned();
        let scope = Scope {
            shared: self.clone(),
            // No call gets here without one.
            caller: caller.ok_or_else(credentials_missing)?,
        };
        Ok((scope, request.into_inner()))
    }
}

impl Scope {
    pub(crate) fn database(&self) -> &Store {
        self.shared.database()
    }

    /// Returns a connection to read with. A caller must not wait for a second one while it
    /// has the first: if all callers did, none would get one. One who reads with many waits
    /// for its own, so that its questions delay no others.
    pub(crate) async fn reader(&self) -> Result<ScopedReader, Status> {
        let share = self.share().await?;
        let reader = self.database().reader().await;
        Ok(ScopedReader {
            connection: reader.map_err(|error| store(&error))?,
            _share: share,
        })
    }

    /// Waits for a part of the caller's share of connections, to read with the store itself.
    pub(crate) async fn share(&self) -> Result<Option<OwnedSemaphorePermit>, Status> {
        let name = self.caller.name().to_owned();
        let share = timeout(MAX_SHARE_WAIT, self.shared.readers().acquire(name, 1)).await;
        share.map_err(|_| store(&StoreError::PoolTimeout))
    }

    /// What was committed, as streams, of all projects.
    pub(crate) fn feeds(&self) -> &Feeds {
        self.shared.feeds()
    }

    /// Where the secrets of revisions are.
    pub(crate) fn secrets(&self) -> &SecretFolder {
        self.shared.secrets()
    }

    /// The caller's name.
    pub(crate) fn actor(&self) -> &str {
        self.caller.name()
    }

    /// Seals and opens the tokens of pages and watches.
    pub(crate) fn seal(&self) -> &TokenSeal {
        self.shared.seal()
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.shared.stopping().await;
    }

    /// The projects that are the caller's.
    pub(crate) fn projects(&self) -> &Projects {
        self.caller.projects()
    }

    /// Whether the caller is given the values of environment variables.
    pub(crate) fn environ_values(&self) -> EnvironValues {
        match self.caller.has(Role::Operator) {
            true => EnvironValues::Given,
            false => EnvironValues::Redacted,
        }
    }

    /// The projects that a question is about: the one that it names, or all that
    /// are the caller's.
    pub(crate) fn narrow(&self, project: &str) -> Result<Projects, Status> {
        if project.is_empty() {
            return Ok(self.projects().clone());
        }
        self.check_project(project)?;
        Ok(Projects::These(vec![project.to_owned()]))
    }

    /// Refuses a project that is not one of the caller's.
    pub(crate) fn check_project(&self, project: &str) -> Result<(), Status> {
        if self.caller.may_see(project) {
            return Ok(());
        }
        self.log_denial(project);
        Err(project_not_allowed(self.caller.name(), project))
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
        call: &RequestContext,
        text: &str,
        mut violations: Violations,
    ) -> Result<DeploymentId, Status> {
        let reference = parse_deployment("deployment", text, &mut violations);
        violations.finish()?;
        // A name in a project that the caller may not see is refused here.
        let mut found = self.look_up(reference.clone()).await?;
        if let (None, Some(request), Some(DeploymentReference::Name { project, .. })) =
            (found, &call.request, &reference)
        {
            let mut reader = self.reader().await?;
            let replied = reader.find_replied_deployment(project, request).await;
            found = replied.map_err(|error| store(&error))?;
        }
        found.ok_or_else(|| not_found(ResourceKind::Deployment, text))
    }

    /// The same for a call that is also about a deployment whose end has begun, although
    /// its name is free.
    pub(crate) async fn resolve_ending(
        &self,
        call: &RequestContext,
        text: &str,
        mut violations: Violations,
    ) -> Result<DeploymentId, Status> {
        let reference = parse_deployment("deployment", text, &mut violations);
        violations.finish()?;
        let found = self.resolve_for(call, text, Violations::default()).await;
        let (Err(_), Some(DeploymentReference::Name { project, name })) = (&found, &reference)
        else {
            return found;
        };
        if !self.caller.may_see(project) {
            return found;
        }
        let mut reader = self.reader().await?;
        let ending = reader.find_ending_deployment_id(project, name).await;
        match ending.map_err(|error| store(&error))? {
            Some(id) => Ok(id),
            None => found,
        }
    }

    pub(crate) async fn resolve_reference(
        &self,
        reference: Option<DeploymentReference>,
        text: &str,
    ) -> Result<DeploymentId, Status> {
        let found = self.look_up(reference).await?;
        found.ok_or_else(|| not_found(ResourceKind::Deployment, text))
    }

    async fn look_up(
        &self,
        reference: Option<DeploymentReference>,
    ) -> Result<Option<DeploymentId>, Status> {
        match reference {
            Some(DeploymentReference::Id(id)) => Ok(self.is_visible(id).await?.then_some(id)),
            Some(DeploymentReference::Name { project, name }) => {
                self.check_project(&project)?;
                let found = self
                    .reader()
                    .await?
                    .find_deployment_id(&project, &name)
                    .await;
                found.map_err(|error| store(&error))
            }
            None => Ok(None),
        }
    }

    /// Whether a deployment belongs to one of the caller's projects. One that is not
    /// there may pass; a look-up of it finds nothing.
    async fn is_visible(&self, id: DeploymentId) -> Result<bool, Status> {
        self.are_visible(&[id]).await
    }

    /// Whether some deployments are all of the caller's projects.
    pub(crate) async fn are_visible(&self, ids: &[DeploymentId]) -> Result<bool, Status> {
        if self.caller.may_see_all() {
            return Ok(true);
        }
        let found = self.reader().await?.find_projects(ids.to_vec()).await;
        let hidden = found
            .map_err(|error| store(&error))?
            .into_iter()
            .find(|(_, project)| !self.caller.may_see(project));
        if let Some((_, project)) = &hidden {
            self.log_denial(project);
        }
        Ok(hidden.is_none())
    }

    /// Those of some routes that belong to other projects than the caller's.
    pub(crate) async fn hidden_routes(&self, ids: &[RouteId]) -> Result<HashSet<RouteId>, Status> {
        if self.caller.may_see_all() {
            return Ok(HashSet::new());
        }
        let found = self.reader().await?.find_route_projects(ids.to_vec()).await;
        let found = found.map_err(|error| store(&error))?.into_iter();
        let hidden = found.filter(|(_, project)| {
            let hidden = !self.caller.may_see(project);
            if hidden {
                self.log_denial(project);
            }
            hidden
        });
        Ok(hidden.map(|(id, _)| id).collect())
    }

    /// Finds the deployment of a route. None for a route of another project than the
    /// caller's, too.
    pub(crate) async fn find_deployment_of(
        &self,
        route: RouteId,
    ) -> Result<Option<DeploymentId>, Status> {
        if self.hidden_routes(&[route]).await?.contains(&route) {
            return Ok(None);
        }
        let found = self.reader().await?.find_deployment_of_route(route).await;
        found.map_err(|error| store(&error))
    }

    /// Finds a deployment, alive or not. `subject` is what the caller called it.
    pub(crate) async fn find(&self, id: DeploymentId, subject: &str) -> Result<Deployment, Status> {
        let found = self.reader().await?.find_deployment(id).await;
        found
            .map_err(|error| store(&error))?
            .ok_or_else(|| not_found(ResourceKind::Deployment, subject))
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
        let found = self
            .reader()
            .await?
            .find_revision(deployment, reference)
            .await;
        if let Some(revision) = found.map_err(|error| store(&error))? {
            return Ok(Some(revision));
        }
        // Without the deployment it has no revision either: that must be said first.
        self.find(deployment, subject).await?;
        Err(not_found(ResourceKind::Revision, &reference.to_string()))
    }

    /// The same for a call. A repeat of one gets its reply, also if the name leads to another
    /// deployment since, which has no such revision.
    pub(crate) async fn find_revision_for(
        &self,
        call: &RequestContext,
        deployment: DeploymentId,
        subject: &str,
        reference: Option<RevisionReference>,
    ) -> Result<Option<Revision>, Status> {
        let found = self.find_revision(deployment, subject, reference).await;
        let (Err(_), Some(request), Some((project, _))) =
            (&found, &call.request, subject.split_once('/'))
        else {
            return found;
        };
        let replied = self
            .reader()
            .await?
            .find_replied_deployment(project, request)
            .await;
        match replied.map_err(|error| store(&error))? {
            // The rules refuse a revision of another deployment. Then the stored reply is read.
            Some(first) if first != deployment => {
                self.find_revision(first, subject, reference).await
            }
            _ => found,
        }
    }

    /// What a call brings besides its own fields. Two requests are the same when
    /// all their bytes are.
    pub(crate) fn call(
        &self,
        method: &'static str,
        message: &impl Message,
        fields: &MutationFields<'_>,
        violations: &mut Violations,
    ) -> RequestContext {
        fields.parse(self.caller.name(), method, message, violations)
    }

    fn log_denial(&self, project: &str) {
        let (actor, method) = (self.caller.name(), self.caller.method());
        let why = "the project is not one of theirs";
        if let Some(AdmittedLine { left_out }) = admit_line("project", actor) {
            tracing::warn!(actor, method, project, why, left_out, "a call was denied");
        }
    }
}

/// How long a call waits for its caller's own connections.
const MAX_SHARE_WAIT: Duration = Duration::from_secs(5);
