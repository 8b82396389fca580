use std::sync::Arc;

use viridian_store::Projects;

use super::role::Role;

/// Who some credentials are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The actor in history.
    pub(crate) name: String,
    pub(crate) roles: Vec<Role>,
    pub(crate) projects: Projects,
}

/// One who was let in, and by which method. In the extensions of every request
/// that reaches a service.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    method: &'static str,
}

impl Principal {
    /// Whoever it is, where nobody is asked.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            roles: Role::ALL.to_vec(),
            projects: Projects::All,
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

    /// Their name, if they were asked for it.
    pub(crate) fn known(&self) -> Option<&str> {
        Some(self.name()).filter(|name| *name != ANONYMOUS)
    }

    /// What is called: `/package.Service/Method`.
    pub(crate) fn method(&self) -> &'static str {
        self.method
    }

    /// The projects that are theirs.
    pub(crate) fn projects(&self) -> &Projects {
        &self.principal.projects
    }

    /// Whether a project is theirs.
    pub(crate) fn may_see(&self, project: &str) -> bool {
        match &self.principal.projects {
            Projects::All => true,
            Projects::These(projects) => projects.iter().any(|own| own == project),
        }
    }

    /// Whether all projects are theirs.
    pub(crate) fn may_see_all(&self) -> bool {
        self.principal.projects == Projects::All
    }
}

/// Who calls when no credentials are configured.
pub(super) const ANONYMOUS: &str = "anonymous";
