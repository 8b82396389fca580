//! The feed of traffic tables.

mod hub;
mod links;
mod watch;

use std::sync::Arc;

use tokio::sync::Notify;
use viridian_store::{Projects, Store};

pub(crate) use self::hub::{DirtyTables, TableHub};
pub use self::{
    links::TableGroup,
    watch::{TableTarget, TableWatch},
};

/// Hands every new traffic table to the watches of its deployment. Cheap to clone.
///
/// A watch that is slow skips tables: the newest one of a deployment replaces those
/// before it.
#[derive(Clone)]
pub struct TableFeed {
    store: Store,
    hub: Arc<TableHub>,
}

impl TableFeed {
    pub(crate) fn new(store: Store, subscribed: Arc<Notify>) -> Self {
        Self {
            hub: Arc::new(TableHub::new(store.clone(), subscribed)),
            store,
        }
    }

    /// Watches the tables of a target, as far as they belong to some projects: the
    /// present ones first, then every new one.
    pub fn watch(&self, target: TableTarget, projects: Projects) -> TableWatch {
        TableWatch::begin(self.clone(), target, projects, false)
    }

    /// The same, where tables that one transaction changed come in one group.
    pub fn watch_together(&self, target: TableTarget, projects: Projects) -> TableWatch {
        TableWatch::begin(self.clone(), target, projects, true)
    }

    pub(crate) fn hub(&self) -> &TableHub {
        &self.hub
    }
}
