//! Hands the open assignments of groups to those who subscribed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use viridian_store::{Assignment, OpenAssignments, Projects};

use crate::{POLL_INTERVAL, lock::lock};

/// What is subscribed to: a group's routes, of some projects.
pub(super) type GroupTopic = (String, Projects);

/// Hands the open assignments of a group to its subscribers, whole, at every read.
pub(super) struct AssignmentHub {
    groups: Mutex<Groups>,
    /// Notified at each new subscription.
    subscribed: Notify,
}

#[derive(Default)]
struct Groups {
    by_topic: HashMap<GroupTopic, GroupState>,
    /// How many reads were begun.
    reads: u64,
}

struct GroupState {
    subscribers: usize,
    open: watch::Sender<Arc<GroupSnapshot>>,
    /// When to read it, if nothing happens before.
    next_read_at: Instant,
}

/// The open assignments of a group, and the number of the read that found them.
#[derive(Default)]
pub(super) struct GroupSnapshot {
    read: u64,
    pub(super) assignments: Vec<Assignment>,
}

/// A watch's place in the hub, until it is dropped.
pub(super) struct GroupSubscription {
    hub: Arc<AssignmentHub>,
    topic: GroupTopic,
    open: watch::Receiver<Arc<GroupSnapshot>>,
    /// The first read that was begun since.
    first_read: u64,
}

impl AssignmentHub {
    pub(super) fn new() -> Self {
        Self {
            groups: Mutex::default(),
            subscribed: Notify::new(),
        }
    }

    /// Subscribes to a group, and has it read: one that joins others must not see
    /// again what was closed since their last read.
    pub(super) fn subscribe(
        self: &Arc<Self>,
        name: &str,
        projects: &Projects,
    ) -> GroupSubscription {
        let topic = (name.to_owned(), projects.clone());
        let mut groups = lock(&self.groups);
        let first_read = groups.reads + 1;
        let group = groups
            .by_topic
            .entry(topic.clone())
            .or_insert_with(|| GroupState {
                subscribers: 0,
                open: watch::Sender::default(),
                next_read_at: Instant::now(),
            });
        group.subscribers += 1;
        group.next_read_at = Instant::now();
        let open = group.open.subscribe();
        drop(groups);
        self.subscribed.notify_one();
        GroupSubscription {
            hub: Arc::clone(self),
            topic,
            open,
            first_read,
        }
    }

    /// Resolves at a new subscription.
    pub(super) async fn subscribed(&self) {
        self.subscribed.notified().await;
    }

    /// Takes a group that is to be read now, with the number of the read.
    pub(super) fn take_due(&self) -> Option<(GroupTopic, u64)> {
        let mut groups = lock(&self.groups);
        let now = Instant::now();
        let due = groups
            .by_topic
            .iter_mut()
            .find(|(_, group)| group.next_read_at <= now);
        let topic = due.map(|(topic, group)| {
            // Before the read, not after: a commit meanwhile asks for another one.
            group.next_read_at = now + POLL_INTERVAL;
            topic.clone()
        })?;
        groups.reads += 1;
        Some((topic, groups.reads))
    }

    pub(super) fn publish(&self, topic: &GroupTopic, read: u64, found: OpenAssignments) {
        // The last subscriber may have gone during the read.
        if let Some(group) = lock(&self.groups).by_topic.get_mut(topic) {
            let next = found.next.unwrap_or(POLL_INTERVAL).min(POLL_INTERVAL);
            // The earlier of two: a commit during the read may have asked for another one already.
            group.next_read_at = group.next_read_at.min(Instant::now() + next);
            group.open.send_replace(Arc::new(GroupSnapshot {
                read,
                assignments: found.open,
            }));
        }
    }

    /// Has groups read now.
    pub(super) fn poll_now(&self, concerns: impl Fn(&str) -> bool) {
        let now = Instant::now();
        for ((name, _), group) in &mut lock(&self.groups).by_topic {
            if concerns(name) {
                group.next_read_at = now;
            }
        }
    }

    /// When the next group is to be read; none without a subscription.
    pub(super) fn next_read_at(&self) -> Option<Instant> {
        let groups = lock(&self.groups);
        groups.by_topic.values().map(|it| it.next_read_at).min()
    }
}

impl GroupSubscription {
    /// Waits for the assignments that are open, as of a read after the subscription.
    /// Cancel safe.
    pub(super) async fn changed(&mut self) -> Arc<GroupSnapshot> {
        loop {
            if self.open.changed().await.is_err() {
                // The group with its sender stays in the hub until this subscription is dropped.
                return std::future::pending().await;
            }
            let open = Arc::clone(&self.open.borrow_and_update());
            if open.read >= self.first_read {
                return open;
            }
        }
    }
}

impl Drop for GroupSubscription {
    fn drop(&mut self) {
        let mut groups = lock(&self.hub.groups);
        if let Some(group) = groups.by_topic.get_mut(&self.topic) {
            group.subscribers -= 1;
            if group.subscribers == 0 {
                groups.by_topic.remove(&self.topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn nothing() -> OpenAssignments {
        OpenAssignments {
            open: Vec::new(),
            next: None,
        }
    }

    #[test]
    fn a_subscriber_that_joins_waits_for_a_read_of_its_own() {
        let hub = Arc::new(AssignmentHub::new());
        let mut first = hub.subscribe("g", &Projects::All);
        let (topic, read) = hub.take_due().expect("it is due");
        let mut second = hub.subscribe("g", &Projects::All);
        hub.publish(&topic, read, nothing());
        assert!(first.changed().now_or_never().is_some());
        assert!(second.changed().now_or_never().is_none(), "it is too old");
        let (topic, read) = hub.take_due().expect("it is due again");
        hub.publish(&topic, read, nothing());
        assert!(second.changed().now_or_never().is_some());
        assert!(first.changed().now_or_never().is_some());
    }

    #[test]
    fn only_groups_with_subscribers_that_a_commit_concerns_are_read() {
        let hub = Arc::new(AssignmentHub::new());
        let (one, other) = (
            hub.subscribe("g", &Projects::All),
            hub.subscribe("h", &Projects::All),
        );
        while let Some((topic, read)) = hub.take_due() {
            hub.publish(&topic, read, nothing());
        }
        hub.poll_now(|group| group == "h");
        assert_eq!(hub.take_due().map(|it| it.0.0), Some("h".to_owned()));
        assert_eq!(hub.take_due(), None);
        drop((one, other));
        assert_eq!(hub.next_read_at(), None);
    }
}
