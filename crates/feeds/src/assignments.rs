//! The feed of assignments.

mod hub;
mod open_set;
mod reader;
mod watch;

use std::sync::Arc;

use viridian_store::Projects;

use self::hub::AssignmentHub;
pub(crate) use self::reader::run;
pub use self::watch::GroupWatch;

/// Hands the open assignments of a resource group to its watches. Cheap to clone.
///
/// The watches of a group share what is open, and a commit has only those of its
/// deployments read. What routes run is not a part of it: who hands an assignment out
/// asks [`Store::revision`](viridian_store::Store::revision) for it then.
#[derive(Clone)]
pub struct AssignmentFeed {
    hub: Arc<AssignmentHub>,
}

impl AssignmentFeed {
    pub(crate) fn new() -> Self {
        Self {
            hub: Arc::new(AssignmentHub::new()),
        }
    }

    /// Watches the assignments of a resource group for routes of some projects: the
    /// open ones first, then every new one.
    pub fn watch(&self, resource_group: &str, projects: &Projects) -> GroupWatch {
        GroupWatch::begin(self.hub.subscribe(resource_group, projects))
    }
}
