//! The feeds of a process, and the loops that fill them.

use std::sync::Arc;

use tokio::sync::Notify;
use viridian_store::Store;

use crate::{
    assignments::{self, AssignmentFeed},
    clock::CachedClock,
    events::EventFeed,
    limits::WatchLimits,
    log_reader::{self, LogHubs},
    relay,
    routes::{RouteFeed, run_reader},
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
    routes: RouteFeed,
    clock: Arc<CachedClock>,
    /// Notified at each new subscription to events, tables or routes.
    subscribed: Arc<Notify>,
}

impl Feeds {
    /// Makes the feeds of a store.
    pub fn new(store: Store, limits: WatchLimits) -> Self {
        let subscribed = Arc::new(Notify::new());
        let clock = Arc::new(CachedClock::new(store.clone()));
        Self {
            events: EventFeed::new(store.clone(), limits, Arc::clone(&subscribed)),
            tables: TableFeed::new(store.clone(), Arc::clone(&subscribed)),
            assignments: AssignmentFeed::new(),
            routes: RouteFeed::new(store.clone(), Arc::clone(&clock), Arc::clone(&subscribed)),
            clock,
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

    /// The routes of resource groups.
    pub fn routes(&self) -> &RouteFeed {
        &self.routes
    }

    /// The time of the database.
    pub fn clock(&self) -> &CachedClock {
        &self.clock
    }

    /// Tails the log of events, for the feeds of events and of tables, and reads the routes
    /// that it is about. Never returns.
    pub async fn run_log_reader(self) {
        let hubs = LogHubs {
            events: self.events.hub(),
            tables: self.tables.hub(),
            routes: self.routes.hub(),
        };
        // Side by side: tables and events do not wait for routes.
        tokio::join!(
            log_reader::run(&self.store, hubs, &self.subscribed),
            run_reader(&self.routes),
        );
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
