use std::sync::Arc;

use viridian_store::Projects;

use super::role::Role;

/// Whom credentials stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The actor in history.
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) projects: Projects,
    /// The resource groups whose routes are its own, as an agent. None for all.
    pub(crate) resource_groups: Option<Vec<String>>,
}

/// A caller that was let in, and the method it calls. In the extensions of every request
/// that reaches a service.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    method: &'static str,
}

impl Principal {
    /// Every caller, when no credentials are configured.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            roles: Role::ALL.to_vec(),
            projects: Projects::All,
            resource_groups: None,
        }
    }
}

impl Caller {
    pub(crate) fn new(principal: Arc<Principal>, method: &'static str) -> Self {
        Self { principal, method }
    }

    /// The actor in history.
    pub(crate) fn name(&self) -> &str {
        &self.principal.name
    }

    /// The name, if the caller had to show credentials.
    pub(crate) fn known(&self) -> Option<&str> {
        // No entry of a file can have that name: it is reserved when the file is parsed.
        Some(self.name()).filter(|name| *name != ANONYMOUS)
    }

    /// The called method: `/package.Service/Method`.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// Whether the caller has a role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.principal.roles.contains(&role)
    }

    /// The projects that the caller may see.
    pub(crate) fn projects(&self) -> &Projects {
        &self.principal.projects
    }

    /// Whether the caller may see a project.
    pub(crate) fn may_see(&self, project: &str) -> bool {
        match &self.principal.projects {
            Projects::All => true,
            Projects::These(projects) => projects.iter().any(|own| own == project),
        }
    }

    /// Whether the routes of a resource group are the caller's.
    pub(crate) fn runs(&self, resource_group: &str) -> bool {
        let groups = self.principal.resource_groups.as_ref();
        groups.is_none_or(|groups| groups.iter().any(|own| own == resource_group))
    }

    /// Whether the routes of all resource groups are the caller's.
    pub(crate) fn runs_all(&self) -> bool {
        self.principal.resource_groups.is_none()
    }

    /// Whether the caller may see all projects.
    pub(crate) fn may_see_all(&self) -> bool {
        self.principal.projects == Projects::All
    }
}

/// The name of every caller when no credentials are configured.
pub(super) const ANONYMOUS: &str = "anonymous";
