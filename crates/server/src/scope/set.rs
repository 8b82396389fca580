//! The deployments that a caller names for a set.

use std::collections::HashMap;

use tonic::Status;
use viridian_store::{RequestContext, RevisionReference};
use viridian_strategy::{DeploymentId, RevisionId};

use super::{Scope, ScopedReader};
use crate::{
    convert::reference::DeploymentReference,
    error::{ResourceKind, not_found, store},
    set_refusals::{member_refused, members_not_found},
};

/// A member of a set as its caller names it.
pub(crate) struct NamedMember<'a> {
    pub(crate) text: &'a str,
    pub(crate) reference: DeploymentReference,
}

impl Scope {
    /// Finds the members of a set. One that is not there and one that the caller may not see are
    /// the same: nothing is learnt of either, nor of the others.
    pub(crate) async fn resolve_set(
        &self,
        call: &RequestContext,
        members: &[NamedMember<'_>],
    ) -> Result<Vec<DeploymentId>, Status> {
        let mut reader = self.reader().await?;
        let ids = members.iter().filter_map(|it| match it.reference {
            DeploymentReference::Id(id) => Some(id),
            DeploymentReference::Name { .. } => None,
        });
        let projects = reader.find_projects(ids.collect()).await;
        let projects = projects.map_err(|error| store(&error))?.into_iter();
        let projects: HashMap<DeploymentId, String> = projects.collect();
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        let (mut hidden, mut visible) = (false, Vec::new());
        for (index, member) in members.iter().enumerate() {
            let project = match &member.reference {
                DeploymentReference::Id(id) => projects.get(id),
                DeploymentReference::Name { project, .. } => Some(project),
            };
            let id = match project {
                Some(project) if !self.caller.may_see(project) => {
                    hidden = true;
                    self.log_denial(project);
                    None
                }
                Some(project) => {
                    visible.push(project.as_str());
                    find(&mut reader, &member.reference).await?
                }
                None => None,
            };
            match id {
                Some(id) => found.push(id),
                None => missing.push((index, member.text)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        // A repeat of a call is about what the first was about, though names may be free since.
        if let (false, Some(request), Some(project)) = (hidden, &call.request, visible.iter().min())
        {
            let replied = reader.find_replied_set(project, request).await;
            if let Some(first) = replied.map_err(|error| store(&error))? {
                return Ok(first);
            }
        }
        Err(members_not_found(&missing))
    }

    /// Finds the revisions that members of a set name, each of its deployment. Ids are taken as
    /// they are: the rules refuse one that the deployment does not have.
    pub(crate) async fn find_set_revisions(
        &self,
        members: &[(DeploymentId, &str, Option<RevisionReference>)],
    ) -> Result<Vec<Option<RevisionId>>, Status> {
        let mut reader = self.reader().await?;
        let mut found = Vec::new();
        for (index, (deployment, text, reference)) in members.iter().enumerate() {
            let number = match reference {
                Some(number @ RevisionReference::Number(_)) => *number,
                Some(RevisionReference::Id(id)) => {
                    found.push(Some(*id));
                    continue;
                }
                None => {
                    found.push(None);
                    continue;
                }
            };
            let revision = reader.find_revision(*deployment, number).await;
            let revision = revision.map_err(|error| store(&error))?.ok_or_else(|| {
                let status = not_found(ResourceKind::Revision, &number.to_string());
                member_refused(index, text, &status)
            })?;
            found.push(Some(revision.id));
        }
        Ok(found)
    }
}

async fn find(
    reader: &mut ScopedReader,
    reference: &DeploymentReference,
) -> Result<Option<DeploymentId>, Status> {
    match reference {
        DeploymentReference::Id(id) => Ok(Some(*id)),
        DeploymentReference::Name { project, name } => {
            let found = reader.find_deployment_id(project, name).await;
            found.map_err(|error| store(&error))
        }
    }
}
