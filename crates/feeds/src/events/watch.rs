//! A watch of events: the current state, then every event after it.

use std::sync::Arc;

use thiserror::Error;
use tokio::time::Instant;
use viridian_store::{EventFilter, ReadLogError, StoreError};
use viridian_strategy::DeploymentId;

use super::{
    EventFeed,
    event::CommittedEvent,
    hub::{EventSubscription, EventTopic},
};

/// What a watch follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchTarget {
    /// These deployments, in the order of their ids.
    Deployments(Vec<DeploymentId>),
    /// All deployments that a project has or will have.
    Project(String),
}

/// Where a watch goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchCursor {
    /// The position in the log after which its events are.
    pub position: i64,
    /// Snapshots as of that position are still to come, of the deployments after this
    /// one.
    pub snapshots_after: Option<DeploymentId>,
}

/// What a watch gives.
#[derive(Clone, Debug)]
pub struct WatchedEvent {
    /// The event.
    pub event: Arc<CommittedEvent>,
    /// Whether it is the last event before the watch, which shows how its deployment
    /// was when the watch began.
    pub is_snapshot: bool,
    /// Where another watch goes on after it.
    pub cursor: WatchCursor,
}

/// Why a watch ended.
#[derive(Debug, Error)]
pub enum WatchError {
    /// The cursor belongs to another database.
    #[error("the position is not in this database's log")]
    UnknownPosition,
    /// Events after the cursor were deleted.
    #[error("events after the cursor were deleted")]
    Expired,
    /// Its consumer makes no progress, and its mailbox is full.
    #[error("the consumer is too slow")]
    TooSlow,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A watch that is under way.
///
/// An event comes once, and events of one deployment come in the order of their
/// sequences without a gap.
pub struct EventWatch {
    feed: EventFeed,
    subscription: EventSubscription,
    target: WatchTarget,
    phase: WatchPhase,
    cursor: WatchCursor,
    /// Since when it takes from its mailbox.
    following_since: Instant,
    /// How many events it reads at once: few at first, so that a consumer which takes nothing
    /// has few in memory.
    page_size: u32,
}

/// What a watch does next.
#[derive(Clone, Copy)]
enum WatchPhase {
    /// Waits until the log is stable up to where it ended when the watch began.
    Stabilizing(i64),
    /// Reads how everything was at its position.
    Snapshots,
    /// Reads the log after its position.
    Reading,
    /// Takes what comes into its mailbox.
    Following,
}

impl WatchTarget {
    fn filter(&self) -> EventFilter {
        match self {
            Self::Deployments(ids) => EventFilter {
                deployments: ids.clone(),
                projects: Vec::new(),
            },
            Self::Project(name) => EventFilter {
                deployments: Vec::new(),
                projects: vec![name.clone()],
            },
        }
    }

    fn topics(&self) -> Vec<EventTopic> {
        match self {
            Self::Deployments(ids) => ids.iter().copied().map(EventTopic::Deployment).collect(),
            Self::Project(name) => vec![EventTopic::Project(name.clone())],
        }
    }
}

impl EventWatch {
    pub(super) async fn begin(
        feed: EventFeed,
        target: WatchTarget,
        after: Option<WatchCursor>,
    ) -> Result<Self, WatchError> {
        // Before the end is read: an event that is committed between the two is in the
        // mailbox, or in the log that the mailbox points to.
        let subscription = feed.hub.subscribe(target.topics());
        let end = feed.store.log_end().await?;
        let (phase, cursor) = match after {
            Some(cursor) if cursor.position > end => return Err(WatchError::UnknownPosition),
            Some(cursor) if cursor.snapshots_after.is_some() => (WatchPhase::Snapshots, cursor),
            Some(cursor) => (WatchPhase::Reading, cursor),
            None => {
                let cursor = WatchCursor {
                    position: 0,
                    snapshots_after: None,
                };
                (WatchPhase::Stabilizing(end), cursor)
            }
        };
        Ok(Self {
            feed,
            subscription,
            target,
            phase,
            cursor,
            following_since: Instant::now(),
            page_size: FIRST_PAGE_SIZE,
        })
    }

    /// Waits for the next events. There is always at least one. Cancel safe.
    ///
    /// # Errors
    ///
    /// A [`WatchError`]; the watch is over then.
    pub async fn next(&mut self) -> Result<Vec<WatchedEvent>, WatchError> {
        loop {
            let events = match self.phase {
                WatchPhase::Stabilizing(end) => {
                    self.cursor.position = self.feed.hub.stable_at(end).await;
                    self.phase = WatchPhase::Snapshots;
                    continue;
                }
                WatchPhase::Snapshots => self.read_snapshots().await?,
                WatchPhase::Reading => self.read_log().await?,
                WatchPhase::Following => self.take_mail().await?,
            };
            if !events.is_empty() {
                return Ok(events);
            }
        }
    }

    /// Watches one more deployment, from where the watch is, and no longer those that are
    /// gone: their last events were given. It must watch deployments.
    ///
    /// # Errors
    ///
    /// As at the beginning of a watch.
    pub async fn add(&mut self, id: DeploymentId, gone: &[DeploymentId]) -> Result<(), WatchError> {
        let mut target = self.target.clone();
        if let WatchTarget::Deployments(ids) = &mut target {
            ids.retain(|id| !gone.contains(id));
            ids.push(id);
            ids.sort();
            ids.dedup();
        }
        let after = match self.phase {
            WatchPhase::Stabilizing(_) => None,
            // None of the snapshots was given: it begins again.
            WatchPhase::Snapshots if self.cursor.snapshots_after.is_none() => None,
            // What is in the mailbox comes after the cursor, and so it comes again.
            _ => Some(self.cursor),
        };
        *self = Self::begin(self.feed.clone(), target, after).await?;
        Ok(())
    }

    /// What it watches.
    pub fn target(&self) -> &WatchTarget {
        &self.target
    }

    /// Fails when the mailbox is full and the consumer has not taken an event since
    /// `offered_at`.
    ///
    /// # Errors
    ///
    /// [`WatchError::TooSlow`].
    pub fn check_progress(&self, offered_at: Instant) -> Result<(), WatchError> {
        if self.subscription.is_full() {
            self.check_taken_since(offered_at)?;
        }
        Ok(())
    }

    async fn read_snapshots(&mut self) -> Result<Vec<WatchedEvent>, WatchError> {
        let filter = self.target.filter();
        let WatchCursor {
            position,
            snapshots_after,
            ..
        } = self.cursor;
        let reader = self.feed.store.reader();
        let page = reader
            .await?
            .read_snapshots(&filter, position, snapshots_after, self.page_size)
            .await?;
        self.note_page();
        let by_project = matches!(self.target, WatchTarget::Project(_));
        let mut snapshots = Vec::new();
        for event in page
            .entries
            .into_iter()
            .filter_map(CommittedEvent::from_log)
        {
            // A deployment that is gone is no part of its project.
            // One that was named is shown to be gone.
            if by_project && event.is_tombstone() {
                continue;
            }
            snapshots.push(WatchedEvent {
                is_snapshot: true,
                cursor: WatchCursor {
                    snapshots_after: Some(event.event.deployment.id),
                    ..self.cursor
                },
                event,
            });
        }
        self.cursor.snapshots_after = page.next;
        if page.next.is_none() {
            self.phase = WatchPhase::Reading;
        }
        Ok(snapshots)
    }

    async fn read_log(&mut self) -> Result<Vec<WatchedEvent>, WatchError> {
        let after = self.cursor.position;
        // Without a stable position the mailbox will be marked as lagged, so that
        // nothing is missed by following now.
        let stable = self.feed.hub.stable().unwrap_or(after);
        if stable <= after {
            self.phase = WatchPhase::Following;
            self.following_since = Instant::now();
            return Ok(Vec::new());
        }
        let filter = self.target.filter();
        let reader = self.feed.store.reader();
        let page = reader
            .await?
            .read_log(&filter, after, stable, self.page_size)
            .await?;
        self.note_page();
        let events = page
            .entries
            .into_iter()
            .filter_map(CommittedEvent::from_log);
        let events = events.map(WatchedEvent::at_its_position).collect();
        self.cursor.position = page.read;
        Ok(events)
    }

    /// The next page is read when this one was taken.
    fn note_page(&mut self) {
        self.page_size = (self.page_size * 2).min(MAX_PAGE_SIZE);
    }

    async fn take_mail(&mut self) -> Result<Vec<WatchedEvent>, WatchError> {
        let mail = self.subscription.take();
        if let Some(full_since) = mail.full_since {
            // Before the watch was following, reading the log kept the consumer busy.
            self.check_taken_since(full_since.max(self.following_since))?;
        }
        if mail.events.is_empty() && mail.lagged_at.is_none() {
            self.subscription.delivered().await;
            return Ok(Vec::new());
        }
        let mut events = Vec::new();
        for event in mail.events {
            // What was read from the log may be in the mailbox too.
            if event.position > self.cursor.position {
                self.cursor.position = event.position;
                events.push(WatchedEvent::at_its_position(event));
            }
        }
        if let Some(position) = mail.lagged_at {
            self.cursor.position = self.cursor.position.max(position);
            self.phase = WatchPhase::Reading;
        }
        Ok(events)
    }

    fn check_taken_since(&self, offered_at: Instant) -> Result<(), WatchError> {
        if offered_at.elapsed() <= self.feed.limits.patience {
            return Ok(());
        }
        tracing::info!("a watch is ended: its consumer is too slow");
        Err(WatchError::TooSlow)
    }
}

impl WatchedEvent {
    fn at_its_position(event: Arc<CommittedEvent>) -> Self {
        Self {
            is_snapshot: false,
            cursor: WatchCursor {
                position: event.position,
                snapshots_after: None,
            },
            event,
        }
    }
}

impl From<ReadLogError> for WatchError {
    fn from(error: ReadLogError) -> Self {
        match error {
            ReadLogError::Expired => Self::Expired,
            ReadLogError::Store(error) => Self::Store(error),
        }
    }
}

const FIRST_PAGE_SIZE: u32 = 4;
const MAX_PAGE_SIZE: u32 = 200;
