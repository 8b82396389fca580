//! The feed of assignments.

mod hub;
mod reader;
mod watch;

use std::sync::Arc;

use viridian_store::Projects;

use self::hub::AssignmentHub;
pub(crate) use self::reader::run;
pub use self::watch::GroupWatch;

/// Hands the open assignments of a resource group to its watches. Cheap to clone.
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
