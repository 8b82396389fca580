//! The feeds of a process, and the loops that fill them.

use std::sync::Arc;

use tokio::sync::Notify;
use viridian_store::Store;

use crate::{
    assignments::{self, AssignmentFeed},
    clock::CachedClock,
    events::EventFeed,
    limits::WatchLimits,
    log_reader, relay,
    tables::TableFeed,
};

/// The feeds of a process. Cheap to clone.
///
/// Their owner also runs three loops: [`Feeds::run_log_reader`],
/// [`Feeds::run_assignment_reader`] and [`Feeds::run_relay`]. None of them ever
/// returns; dropping the future ends it.
#[derive(Clone)]
pub struct Feeds {
    store: Store,
    events: EventFeed,
    tables: TableFeed,
    assignments: AssignmentFeed,
    clock: Arc<CachedClock>,
    /// Notified at each new subscription to events or tables.
    subscribed: Arc<Notify>,
}

impl Feeds {
    /// Makes the feeds of a store.
    pub fn new(store: Store, limits: WatchLimits) -> Self {
        let subscribed = Arc::new(Notify::new());
        Self {
            events: EventFeed::new(store.clone(), limits, Arc::clone(&subscribed)),
            tables: TableFeed::new(store.clone(), Arc::clone(&subscribed)),
            assignments: AssignmentFeed::new(),
            clock: Arc::new(CachedClock::new(store.clone())),
            subscribed,
            store,
        }
    }

    /// What deployments were at each sequence.
    pub fn events(&self) -> &EventFeed {
        &self.events
    }

    /// The newest traffic table of each deployment.
    pub fn tables(&self) -> &TableFeed {
        &self.tables
    }

    /// What schedulers have to do.
    pub fn assignments(&self) -> &AssignmentFeed {
        &self.assignments
    }

    /// The time of the database.
    pub fn clock(&self) -> &CachedClock {
        &self.clock
    }

    /// Tails the log of events, for the feeds of events and of tables. Never returns.
    pub async fn run_log_reader(self) {
        log_reader::run(&self.store, &self.events, &self.tables, &self.subscribed).await;
    }

    /// Reads the open assignments of the resource groups that have subscribers. Never
    /// returns.
    pub async fn run_assignment_reader(self) {
        assignments::run(&self.assignments, &self.store).await;
    }

    /// Keeps up the connection to the other servers on the same database, which wakes
    /// the other two loops. Never returns.
    pub async fn run_relay(self) {
        relay::run(&self.store).await;
    }
}
