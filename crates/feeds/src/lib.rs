//! What was committed, as streams in domain types.
//!
//! A subscriber names a target. It gets the current state first, then every change:
//!
//! - [`EventFeed`]: what deployments were at each sequence, in the order of the log.
//! - [`TableFeed`]: the newest traffic table of each deployment.
//! - [`AssignmentFeed`]: what the schedulers of a resource group have to do.
//! - [`RouteFeed`]: the routes of a resource group, for those who check or reconcile them.
//!
//! [`Feeds`] owns the four, and the loops that fill them from the store. A loop reads
//! for all subscribers at once. It is woken by commits of this process and, through
//! the relay, of others; a slow poll is the safety net. Without subscribers a loop
//! does nothing, and a target that does not change costs nothing.
//!
//! No loop ever waits for a subscriber. Each subscriber has a bounded mailbox. For
//! tables and assignments the newest state replaces an older one. Events overflow:
//! then the subscriber reads the log itself, and a watch whose consumer makes no
//! progress for a while fails with [`WatchError::TooSlow`].
//!
//! Nothing here knows the wire: a server converts what it takes from a feed.

mod assignments;
mod clock;
mod events;
mod feeds;
mod limits;
mod lock;
mod log_reader;
mod relay;
mod routes;
mod subscriptions;
mod tables;

pub use self::{
    assignments::{AssignmentFeed, GroupWatch},
    clock::CachedClock,
    events::{
        CommittedEvent, EventFeed, EventWatch, WatchCursor, WatchError, WatchLag, WatchTarget,
        WatchedEvent,
    },
    feeds::Feeds,
    limits::WatchLimits,
    routes::{RouteCursor, RouteFeed, RouteUpdate, RouteWatch},
    tables::{TableFeed, TableGroup, TableTarget, TableWatch},
};

/// How often a loop polls when nothing wakes it.
const POLL_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);
