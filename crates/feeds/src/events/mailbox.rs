//! What a watch has yet to take.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{sync::Notify, time::Instant};

use super::event::CommittedEvent;
use crate::lock::lock;

/// Bounded room for the events of one watch. It overflows into a position of the log,
/// after which the watch reads for itself.
#[derive(Default)]
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    delivered: Notify,
}

/// What was delivered and not taken.
#[derive(Default)]
pub(super) struct Mail {
    pub(super) events: VecDeque<Arc<CommittedEvent>>,
    /// More events are in the log, after this position or after that of the watch,
    /// whichever is later.
    pub(super) lagged_at: Option<i64>,
    /// Since when there has been no more room.
    pub(super) full_since: Option<Instant>,
}

/// How far watches lag behind the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchLag {
    /// How many watches there are.
    pub watches: usize,
    /// Those whose mailbox is full.
    pub overflowed: usize,
    /// Events that the slowest one has yet to take, at most.
    pub max_events: u64,
}

impl Mailbox {
    /// Delivers an event, or marks the watch as lagged if it has no room.
    pub(super) fn put(&self, event: &Arc<CommittedEvent>, capacity: usize) {
        let mut mail = lock(&self.mail);
        // An event after a gap would be sent before those in the gap.
        if mail.lagged_at.is_some() {
            return;
        }
        match mail.events.back() {
            Some(last) if mail.events.len() >= capacity => {
                // After the last one that fits, so that the watch reads on without a gap.
                mail.lagged_at = Some(last.position);
                mail.full_since = Some(Instant::now());
            }
            _ => mail.events.push_back(Arc::clone(event)),
        }
        drop(mail);
        self.delivered.notify_one();
    }

    /// Has the watch read the log after a position.
    pub(super) fn mark_lagged(&self, position: i64) {
        // An earlier mark stays: what comes after it is missing too.
        lock(&self.mail).lagged_at.get_or_insert(position);
        self.delivered.notify_one();
    }

    /// Takes everything. Some of it may have been read from the log already.
    pub(super) fn take(&self) -> Mail {
        std::mem::take(&mut *lock(&self.mail))
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(super) async fn delivered(&self) {
        self.delivered.notified().await;
    }

    /// Whether there was more than there is room for.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.mail).full_since.is_some()
    }

    pub(super) fn add_to(&self, lag: &mut WatchLag, stable: i64) {
        let mail = lock(&self.mail);
        // What is in the log after that position may be of other targets too.
        let in_log = match (mail.lagged_at, mail.full_since) {
            (Some(position), Some(_)) => stable.saturating_sub(position).max(0),
            _ => 0,
        };
        lag.watches += 1;
        lag.overflowed += usize::from(mail.full_since.is_some());
        let events = mail.events.len() as u64 + in_log.unsigned_abs();
        lag.max_events = lag.max_events.max(events);
    }
}
