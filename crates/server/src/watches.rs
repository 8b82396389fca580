//! Watches: one look at the database for all who follow something here.
//!
//! A stream asks the database for where it begins, and then waits for its feed.
//! The feeds are filled by two loops, one each a process:
//!
//! - [`reader`] follows the log of events, for [`events`] (what deployments
//!   were at each sequence, in the order of the log and up to where it is
//!   settled) and for [`tables`] (the newest traffic table of each, which is
//!   held back by nothing).
//! - [`assignments`] looks at what the groups have to do that someone follows.
//!
//! Both are woken by commits of this process and, through the relay, by those of
//! others; a slow poll is the safety net. Without a follower they do nothing,
//! and a follower of something that does not change costs nothing but its
//! heartbeats.
//!
//! Nobody is waited for. What a stream has yet to send is kept for it in bounded
//! room: for tables and assignments the newest state is enough. Events overflow;
//! then the stream reads the log from where it is, and one whose consumer has
//! taken nothing for a while is ended.

pub(crate) mod assignments;
mod clock;
pub(crate) mod events;
mod limits;
mod reader;
mod relay;
pub(crate) mod tables;
mod topics;

use std::{sync::Arc, time::Duration};

use tokio::sync::Notify;
use viridian_store::Database;

pub use self::limits::WatchLimits;
pub(crate) use self::reader::sent;
use self::{assignments::AssignmentFeed, clock::Clock, events::EventFeed, tables::TableFeed};

/// The feeds of a process.
pub(crate) struct Watches {
    pub(crate) events: EventFeed,
    pub(crate) tables: TableFeed,
    pub(crate) assignments: AssignmentFeed,
    /// Told when there is someone who follows events or tables.
    follower: Arc<Notify>,
    /// The time of the database, for heartbeats.
    pub(crate) clock: Clock,
    /// How streams are kept in bounds.
    pub(crate) limits: WatchLimits,
}

impl Watches {
    pub(crate) fn new(database: Database, limits: WatchLimits) -> Self {
        let follower = Arc::new(Notify::new());
        Self {
            events: EventFeed::new(limits.buffer, Arc::clone(&follower)),
            tables: TableFeed::new(Arc::clone(&follower)),
            follower,
            assignments: AssignmentFeed::new(),
            clock: Clock::new(database),
            limits,
        }
    }
}

/// Fills the feeds of events and of tables, for ever.
pub(crate) async fn read_log(watches: Arc<Watches>, database: Database) {
    reader::run(&watches, &database).await;
}

/// Fills the feed of assignments, for ever.
pub(crate) async fn read_assignments(watches: Arc<Watches>, database: Database) {
    assignments::run(&watches.assignments, &database).await;
}

/// Exchanges notifications of commits with other servers, for ever.
pub(crate) async fn relay(database: Database) {
    relay::run(&database).await;
}

/// How long a stream says nothing at most.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often the loops look when nothing wakes them.
const POLL: Duration = Duration::from_secs(1);
