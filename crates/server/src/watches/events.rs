//! The feed of events.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use viridian_proto::v1;
use viridian_store::EventFilter;
use viridian_strategy::DeploymentId;

use super::topics::Topics;

/// An event as it is sent, but for the token, which is each stream's own.
#[derive(Debug)]
pub(crate) struct SentEvent {
    pub(crate) position: i64,
    pub(crate) deployment: DeploymentId,
    pub(crate) project: String,
    pub(crate) message: v1::DeploymentEvent,
}

impl SentEvent {
    /// Whether its deployment was gone by then.
    pub(crate) fn is_over(&self) -> bool {
        let deployment = self.message.deployment.as_ref();
        deployment.is_some_and(|it| it.lifecycle() == v1::DeploymentLifecycle::Destroyed)
    }
}

/// What a stream follows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Topic {
    Deployment(DeploymentId),
    Project(String),
}

/// Hands each event to those who follow it.
pub(crate) struct EventFeed {
    followers: Mutex<Followers>,
    /// Up to where the log is settled and handed out; none as long as nobody
    /// follows it.
    settled: watch::Sender<Option<i64>>,
    buffer: usize,
    /// Told when there is someone who follows.
    follower: Arc<Notify>,
}

struct Followers {
    topics: Topics<Topic, Slot>,
    /// Those who came since it was last asked what is followed.
    newcomers: Vec<Arc<Slot>>,
}

/// What a stream has yet to take.
#[derive(Default)]
struct Slot {
    untaken: Mutex<Untaken>,
    wake: Notify,
}

/// See [`Subscription::take`].
#[derive(Default)]
pub(crate) struct Untaken {
    pub(crate) events: VecDeque<Arc<SentEvent>>,
    /// The position behind which it has to be read from the log, or that of the
    /// stream if it has not come so far.
    pub(crate) behind: Option<i64>,
    /// Since when there has been no more room.
    pub(crate) full_since: Option<Instant>,
}

/// How far those who follow are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    pub(crate) watches: usize,
    /// Those that had no more room.
    pub(crate) overflowed: usize,
    /// How many events the slowest one has yet to take, at most.
    pub(crate) events_behind: u64,
}

/// A stream's place in the feed, until it is dropped.
pub(crate) struct Subscription<'a> {
    feed: &'a EventFeed,
    topics: Vec<Topic>,
    slot: Arc<Slot>,
}

impl EventFeed {
    pub(super) fn new(buffer: usize, follower: Arc<Notify>) -> Self {
        let followers = Followers {
            topics: Topics::new(),
            newcomers: Vec::new(),
        };
        Self {
            followers: Mutex::new(followers),
            settled: watch::Sender::new(None),
            buffer: buffer.max(1),
            follower,
        }
    }

    /// Follows topics from now on: whatever is behind [`EventFeed::settled`].
    pub(crate) fn subscribe(&self, topics: Vec<Topic>) -> Subscription<'_> {
        let slot = Arc::default();
        let mut followers = lock(&self.followers);
        followers.topics.insert(topics.iter().cloned(), &slot);
        followers.newcomers.push(Arc::clone(&slot));
        drop(followers);
        self.follower.notify_one();
        Subscription {
            feed: self,
            topics,
            slot,
        }
    }

    /// Up to where the log is settled, if that is known.
    pub(crate) fn settled(&self) -> Option<i64> {
        *self.settled.borrow()
    }

    /// Waits until it is settled up to a position. Gives how far it is.
    pub(crate) async fn settles(&self, position: i64) -> i64 {
        // Looked for at once, should the news of it be lost.
        self.follower.notify_one();
        let mut settled = self.settled.subscribe();
        let reached = settled.wait_for(|settled| settled.is_some_and(|at| at >= position));
        let at = reached.await.ok().and_then(|settled| *settled);
        at.unwrap_or(position)
    }

    /// How far those who follow are behind.
    pub(crate) fn backlog(&self) -> Backlog {
        let settled = self.settled().unwrap_or(0);
        let followers = lock(&self.followers);
        let mut backlog = Backlog::default();
        let mut seen = HashSet::new();
        for slot in followers.topics.subscribers() {
            if seen.insert(Arc::as_ptr(slot)) {
                backlog.add(&lock(&slot.untaken), settled);
            }
        }
        backlog
    }

    /// What is followed. Whoever comes later reads the log for himself.
    pub(super) fn interest(&self) -> EventFilter {
        let mut followers = lock(&self.followers);
        followers.newcomers.clear();
        let mut filter = EventFilter::default();
        for topic in followers.topics.followed() {
            match topic {
                Topic::Deployment(id) => filter.deployments.push(*id),
                Topic::Project(name) => filter.projects.push(name.clone()),
            }
        }
        filter
    }

    /// Hands out all events of the last interest up to where it is settled now.
    pub(super) fn publish(&self, events: &[Arc<SentEvent>], settled: i64) {
        let mut followers = lock(&self.followers);
        // First: whoever finds that he is behind reads up to here.
        self.settled.send_replace(Some(settled));
        for slot in std::mem::take(&mut followers.newcomers) {
            slot.leave_behind(0);
        }
        for event in events {
            let project = Topic::Project(event.project.clone());
            for topic in [Topic::Deployment(event.deployment), project] {
                for slot in followers.topics.of(&topic) {
                    slot.put(event, self.buffer);
                }
            }
        }
    }

    /// Has everyone read what is settled now for himself.
    pub(super) fn skip(&self, settled: i64) {
        let mut followers = lock(&self.followers);
        for slot in std::mem::take(&mut followers.newcomers) {
            slot.leave_behind(0);
        }
        let before = self.settled.send_replace(Some(settled)).unwrap_or(0);
        for slot in followers.topics.subscribers() {
            slot.leave_behind(before);
        }
    }

    /// Whether nobody follows; then it is not known any more how far the log is
    /// settled.
    pub(super) fn rests(&self) -> bool {
        let followers = lock(&self.followers);
        let nobody = followers.topics.is_empty();
        if nobody {
            self.settled.send_replace(None);
        }
        nobody
    }
}

impl Backlog {
    /// What is behind the position of one that overflowed may be of others too.
    fn add(&mut self, untaken: &Untaken, settled: i64) {
        let log = untaken.behind.filter(|_| untaken.full_since.is_some());
        let log = log.map_or(0, |at| settled.saturating_sub(at));
        let events = untaken.events.len() as u64 + log.max(0).unsigned_abs();
        self.watches += 1;
        self.overflowed += usize::from(untaken.full_since.is_some());
        self.events_behind = self.events_behind.max(events);
    }
}

impl Subscription<'_> {
    /// Takes what has come: the events, and then whatever is behind the position
    /// in the log. Some may have been read from there already.
    pub(crate) fn take(&self) -> Untaken {
        std::mem::take(&mut *lock(&self.slot.untaken))
    }

    /// Resolves when there is something to take. Loses nothing when it is
    /// dropped before.
    pub(crate) async fn woken(&self) {
        self.slot.wake.notified().await;
    }

    /// Whether there is more to take than there is room for.
    pub(crate) fn is_full(&self) -> bool {
        lock(&self.slot.untaken).full_since.is_some()
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut followers = lock(&self.feed.followers);
        followers.topics.remove(&self.topics, &self.slot);
        followers
            .newcomers
            .retain(|other| !Arc::ptr_eq(other, &self.slot));
    }
}

impl Slot {
    fn put(&self, event: &Arc<SentEvent>, room: usize) {
        let mut untaken = lock(&self.untaken);
        if untaken.behind.is_some() {
            return;
        }
        match untaken.events.back() {
            Some(last) if untaken.events.len() >= room => {
                untaken.behind = Some(last.position);
                untaken.full_since = Some(Instant::now());
            }
            _ => untaken.events.push_back(Arc::clone(event)),
        }
        drop(untaken);
        self.wake.notify_one();
    }

    fn leave_behind(&self, position: i64) {
        let mut untaken = lock(&self.untaken);
        untaken.behind.get_or_insert(position);
        drop(untaken);
        self.wake.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn event(position: i64, project: &str) -> Arc<SentEvent> {
        Arc::new(SentEvent {
            position,
            deployment: DeploymentId(Uuid::from_u128(7)),
            project: project.to_owned(),
            message: v1::DeploymentEvent::default(),
        })
    }

    fn positions(untaken: &Untaken) -> Vec<i64> {
        untaken.events.iter().map(|event| event.position).collect()
    }

    fn feed() -> EventFeed {
        let feed = EventFeed::new(2, Arc::default());
        feed.publish(&[], 10);
        feed
    }

    #[test]
    fn each_gets_what_it_follows() {
        let feed = feed();
        let project = feed.subscribe(vec![Topic::Project("p".into())]);
        let other = feed.subscribe(vec![Topic::Project("q".into())]);
        let one = feed.subscribe(vec![Topic::Deployment(DeploymentId(Uuid::from_u128(7)))]);
        feed.interest();
        feed.publish(&[event(11, "p")], 12);
        assert_eq!(positions(&project.take()), [11]);
        assert_eq!(positions(&one.take()), [11]);
        assert_eq!(positions(&other.take()), [] as [i64; 0]);
        assert_eq!(feed.settled(), Some(12));
    }

    #[test]
    fn what_has_no_room_is_read_again() {
        let feed = feed();
        let slow = feed.subscribe(vec![Topic::Project("p".into())]);
        feed.interest();
        feed.publish(&[event(11, "p"), event(12, "p"), event(13, "p")], 13);
        assert!(slow.is_full());
        feed.publish(&[event(14, "p")], 14);
        let behind = Backlog {
            watches: 1,
            overflowed: 1,
            events_behind: 4,
        };
        assert_eq!(feed.backlog(), behind);
        let untaken = slow.take();
        assert_eq!(positions(&untaken), [11, 12]);
        assert_eq!(untaken.behind, Some(12));
        assert!(!slow.is_full());
        feed.publish(&[event(15, "p")], 15);
        assert_eq!(positions(&slow.take()), [15]);
    }

    #[test]
    fn whoever_comes_while_it_is_read_reads_for_himself() {
        let feed = feed();
        feed.interest();
        let late = feed.subscribe(vec![Topic::Project("p".into())]);
        feed.publish(&[], 12);
        assert_eq!(late.take().behind, Some(0));
        feed.interest();
        feed.publish(&[event(13, "p")], 13);
        assert_eq!(positions(&late.take()), [13]);
    }

    #[test]
    fn nothing_is_known_when_nobody_follows() {
        let feed = feed();
        let one = feed.subscribe(vec![Topic::Project("p".into())]);
        assert!(!feed.rests());
        drop(one);
        assert!(feed.rests());
        assert_eq!(feed.settled(), None);
        assert_eq!(feed.interest(), EventFilter::default());
    }
}
