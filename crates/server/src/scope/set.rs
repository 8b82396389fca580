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

/// The members of a set that the caller may see.
#[derive(Default)]
struct VisibleMembers<'a> {
    /// In the order of the request. None for one that is not there, and for one that is hidden.
    members: Vec<Option<&'a DeploymentReference>>,
    /// Of those that can be seen.
    projects: Vec<&'a str>,
    /// Whether one is hidden.
    hides: bool,
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
        let visible = self.visible_members(members, &projects);
        let ids = find_all(&mut reader, &visible.members).await?;
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (index, (member, id)) in members.iter().zip(ids).enumerate() {
            match id {
                Some(id) => found.push(id),
                None => missing.push((index, member.text)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        // A repeat of a call is about what the first was about, though names may be free since.
        if let (false, Some(request), Some(project)) =
            (visible.hides, &call.request, visible.projects.iter().min())
        {
            let replied = reader.find_replied_set(project, request).await;
            if let Some(first) = replied.map_err(|error| store(&error))? {
                return Ok(first);
            }
        }
        Err(members_not_found(&missing))
    }

    /// The members that the caller may see. `projects` are those of the members that are named
    /// by id, and there.
    fn visible_members<'a>(
        &self,
        members: &'a [NamedMember<'_>],
        projects: &'a HashMap<DeploymentId, String>,
    ) -> VisibleMembers<'a> {
        let mut visible = VisibleMembers::default();
        for NamedMember { reference, .. } in members {
            let project = match reference {
                DeploymentReference::Id(id) => projects.get(id),
                DeploymentReference::Name { project, .. } => Some(project),
            };
            let seen = project.filter(|project| self.caller.may_see(project));
            if let (Some(hidden), None) = (project, seen) {
                visible.hides = true;
                self.log_denial(hidden);
            }
            visible.projects.extend(seen.map(String::as_str));
            visible.members.push(seen.map(|_| reference));
        }
        visible
    }

    /// Finds the revisions that members of a set name, each of its deployment. Ids are taken as
    /// they are: the rules refuse one that the deployment does not have.
    pub(crate) async fn find_set_revisions(
        &self,
        members: &[(DeploymentId, &str, Option<RevisionReference>)],
    ) -> Result<Vec<Option<RevisionId>>, Status> {
        let mut reader = self.reader().await?;
        let numbers = members.iter().filter_map(|it| match it.2 {
            Some(RevisionReference::Number(number)) => Some((it.0, number)),
            Some(RevisionReference::Id(_)) | None => None,
        });
        let numbers: Vec<_> = numbers.collect();
        let of_numbers = reader.find_revision_ids(&numbers).await;
        let of_numbers = of_numbers.map_err(|error| store(&error))?;
        let members = members.iter().enumerate();
        let found = members.map(|(index, &(deployment, text, reference))| match reference {
            Some(RevisionReference::Id(id)) => Ok(Some(id)),
            Some(reference @ RevisionReference::Number(number)) => {
                let id = of_numbers.get(&(deployment, number)).copied();
                id.map(Some).ok_or_else(|| {
                    let status = not_found(ResourceKind::Revision, &reference.to_string());
                    member_refused(index, text, &status)
                })
            }
            None => Ok(None),
        });
        found.collect()
    }
}

/// Finds what callers may see and name: an id is taken as it is, names are looked up together.
async fn find_all(
    reader: &mut ScopedReader,
    visible: &[Option<&DeploymentReference>],
) -> Result<Vec<Option<DeploymentId>>, Status> {
    let names: Vec<_> = visible
        .iter()
        .map(|it| it.and_then(DeploymentReference::name))
        .collect();
    let wanted: Vec<_> = names.iter().flatten().cloned().collect();
    let found = reader.find_deployment_ids(&wanted).await;
    let found = found.map_err(|error| store(&error))?;
    let ids = visible
        .iter()
        .zip(names)
        .map(|(reference, name)| match reference {
            Some(DeploymentReference::Id(id)) => Some(*id),
            Some(DeploymentReference::Name { .. }) => found.get(&name?).copied(),
            None => None,
        });
    Ok(ids.collect())
}
