//! Hands the open assignments of groups to those who subscribed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use viridian_store::{
    AssignedDeployments, Assignment, AssignmentSelection, OpenAssignments, Projects,
};

use super::open_set::{OpenSet, Version};
use crate::{POLL_INTERVAL, lock::lock};

/// What is subscribed to: a group's routes, of some projects.
pub(super) type GroupTopic = (String, Projects);

/// Keeps the open assignments of a group for its subscribers. A commit has only those of
/// its deployments read again.
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
    open: OpenSet,
    /// The last read of all that was published.
    read: u64,
    /// What commits have changed since the last read.
    changed: AssignedDeployments,
    /// When everything is read again, if nothing happens before.
    next_read_at: Instant,
    /// When the next assignment becomes available, if one will.
    next_available_at: Option<Instant>,
    /// Up to when all that became available was read.
    as_of: Option<viridian_strategy::Timestamp>,
    published: watch::Sender<()>,
}

/// A read that is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DueRead {
    pub(super) topic: GroupTopic,
    pub(super) selection: AssignmentSelection,
    number: u64,
}

/// A watch's place in the hub, until it is dropped.
pub(super) struct GroupSubscription {
    hub: Arc<AssignmentHub>,
    topic: GroupTopic,
    published: watch::Receiver<()>,
    /// The first read that was begun since.
    first_read: u64,
    /// The last version that was taken.
    taken: Version,
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
        let group = groups.by_topic.entry(topic.clone());
        let group = group.or_insert_with(GroupState::new);
        group.subscribers += 1;
        group.note_changes(AssignedDeployments::Any);
        let published = group.published.subscribe();
        drop(groups);
        self.subscribed.notify_one();
        GroupSubscription {
            hub: Arc::clone(self),
            topic,
            published,
            first_read,
            taken: Version::default(),
        }
    }

    /// Resolves at a new subscription.
    pub(super) async fn subscribed(&self) {
        self.subscribed.notified().await;
    }

    /// Takes a read that is due.
    pub(super) fn take_due(&self) -> Option<DueRead> {
        let mut groups = lock(&self.groups);
        let now = Instant::now();
        let (topic, selection) = groups.by_topic.iter_mut().find_map(|(topic, group)| {
            let selection = group.take_due(now)?;
            Some((topic.clone(), selection))
        })?;
        groups.reads += 1;
        let number = groups.reads;
        Some(DueRead {
            topic,
            selection,
            number,
        })
    }

    /// Keeps what a read found. `took` is how long it took.
    pub(super) fn publish(&self, read: &DueRead, found: OpenAssignments, took: Duration) {
        // The last subscriber may have gone during the read.
        if let Some(group) = lock(&self.groups).by_topic.get_mut(&read.topic) {
            group.publish(read, found, took);
        }
    }

    /// Has a read done again that failed, with the next read of everything.
    pub(super) fn note_failure(&self, read: &DueRead) {
        if let Some(group) = lock(&self.groups).by_topic.get_mut(&read.topic) {
            // What it was to find is found by that read.
            group.next_read_at = group.next_read_at.min(Instant::now() + POLL_INTERVAL);
        }
    }

    /// Has that read which commits have changed.
    pub(super) fn note_changes(&self, changes: impl Fn(&str) -> AssignedDeployments) {
        for ((name, _), group) in &mut lock(&self.groups).by_topic {
            group.note_changes(changes(name));
        }
    }

    /// When the next read is due; none without a subscription.
    pub(super) fn next_read_at(&self) -> Option<Instant> {
        let groups = lock(&self.groups);
        groups.by_topic.values().map(GroupState::due_at).min()
    }
}

impl GroupState {
    fn new() -> Self {
        Self {
            subscribers: 0,
            open: OpenSet::default(),
            read: 0,
            changed: AssignedDeployments::none(),
            next_read_at: Instant::now() + POLL_INTERVAL,
            next_available_at: None,
            as_of: None,
            published: watch::Sender::new(()),
        }
    }

    fn due_at(&self) -> Instant {
        let available = self.next_available_at.unwrap_or(self.next_read_at);
        match self.changed.is_none() {
            true => self.next_read_at.min(available),
            false => Instant::now(),
        }
    }

    /// What is to be read now. Taken before the read, not after: a commit meanwhile asks for
    /// another one.
    fn take_due(&mut self, now: Instant) -> Option<AssignmentSelection> {
        if self.next_read_at <= now || self.changed == AssignedDeployments::Any {
            self.next_read_at = now + POLL_INTERVAL;
            self.next_available_at = None;
            self.changed = AssignedDeployments::none();
            return Some(AssignmentSelection::All);
        }
        if self.next_available_at.is_some_and(|at| at <= now) {
            self.next_available_at = None;
            let since = self.as_of.map(AssignmentSelection::Since);
            return Some(since.unwrap_or(AssignmentSelection::All));
        }
        match std::mem::replace(&mut self.changed, AssignedDeployments::none()) {
            AssignedDeployments::Of(ids) if !ids.is_empty() => Some(AssignmentSelection::Of(ids)),
            _ => None,
        }
    }

    fn publish(&mut self, read: &DueRead, found: OpenAssignments, took: Duration) {
        let now = Instant::now();
        self.open.update(&read.selection, found.open);
        match read.selection {
            AssignmentSelection::All => {
                self.read = read.number;
                self.as_of = Some(found.as_of);
                // A large set is read more seldom: at most a hundredth of the time.
                self.next_read_at = self.next_read_at.max(now + took * 100);
            }
            AssignmentSelection::Since(_) => self.as_of = Some(found.as_of),
            // What became available since `as_of` in other deployments was not read.
            AssignmentSelection::Of(_) => {}
        }
        // The earlier of two: this read may be older than what became available meanwhile.
        let next = found.next.map(|next| now + next);
        let earlier = self.next_available_at.into_iter().chain(next).min();
        self.next_available_at = earlier;
        self.published.send_replace(());
    }

    fn note_changes(&mut self, more: AssignedDeployments) {
        match (&mut self.changed, more) {
            (AssignedDeployments::Of(ids), AssignedDeployments::Of(more)) => ids.extend(more),
            (_, AssignedDeployments::Any) => self.changed = AssignedDeployments::Any,
            (AssignedDeployments::Any, _) => {}
        }
    }
}

impl GroupSubscription {
    /// Waits for assignments that are open and were not taken yet, as of a read after the
    /// subscription; a few at once. Cancel safe.
    pub(super) async fn next(&mut self) -> Vec<Arc<Assignment>> {
        loop {
            // Before the look: what is published after it ends the wait.
            self.published.mark_unchanged();
            let new = self.take();
            if !new.is_empty() {
                return new;
            }
            if self.published.changed().await.is_err() {
                // The group with its sender stays in the hub until this subscription is dropped.
                return std::future::pending().await;
            }
        }
    }

    fn take(&mut self) -> Vec<Arc<Assignment>> {
        let groups = lock(&self.hub.groups);
        match groups.by_topic.get(&self.topic) {
            Some(group) if group.read >= self.first_read => {
                group.open.after(&mut self.taken, MAX_TAKEN)
            }
            _ => Vec::new(),
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

/// Assignments that a watch takes at once: what is closed before it takes more is not given.
const MAX_TAKEN: usize = 64;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use uuid::Uuid;
    use viridian_strategy::{DeploymentId, Timestamp};

    use super::{super::open_set::tests::assignment, *};

    fn found(open: Vec<Assignment>, next: Option<Duration>) -> OpenAssignments {
        OpenAssignments {
            open,
            next,
            as_of: Timestamp::from_micros(7),
        }
    }

    fn publish(hub: &AssignmentHub, read: &DueRead, open: Vec<Assignment>) {
        hub.publish(read, found(open, None), Duration::ZERO);
    }

    fn deployments(numbers: &[u128]) -> AssignedDeployments {
        let ids = numbers.iter().map(|it| DeploymentId(Uuid::from_u128(*it)));
        AssignedDeployments::Of(ids.collect())
    }

    #[test]
    fn a_subscriber_that_joins_waits_for_a_read_of_its_own() {
        let hub = Arc::new(AssignmentHub::new());
        let mut first = hub.subscribe("g", &Projects::All);
        let read = hub.take_due().expect("it is due");
        let mut second = hub.subscribe("g", &Projects::All);
        publish(&hub, &read, vec![assignment(1, 1)]);
        assert!(first.next().now_or_never().is_some());
        assert!(second.next().now_or_never().is_none(), "it is too old");
        let read = hub.take_due().expect("it is due again");
        publish(&hub, &read, vec![assignment(1, 1)]);
        assert!(second.next().now_or_never().is_some());
        assert!(first.next().now_or_never().is_none(), "it has it");
    }

    #[test]
    fn only_groups_with_subscribers_that_a_commit_concerns_are_read() {
        let hub = Arc::new(AssignmentHub::new());
        let (one, other) = (
            hub.subscribe("g", &Projects::All),
            hub.subscribe("h", &Projects::All),
        );
        while let Some(read) = hub.take_due() {
            publish(&hub, &read, Vec::new());
        }
        hub.note_changes(|group| deployments(if group == "h" { &[1] } else { &[] }));
        assert_eq!(hub.take_due().map(|it| it.topic.0), Some("h".to_owned()));
        assert_eq!(hub.take_due(), None);
        drop((one, other));
        assert_eq!(hub.next_read_at(), None);
    }

    #[test]
    fn g8_a_commit_has_only_its_deployments_read_again() {
        let hub = Arc::new(AssignmentHub::new());
        let mut watch = hub.subscribe("g", &Projects::All);
        let read = hub.take_due().expect("it is due");
        assert_eq!(read.selection, AssignmentSelection::All);
        publish(&hub, &read, vec![assignment(1, 1), assignment(2, 2)]);
        assert_eq!(watch.next().now_or_never().map(|it| it.len()), Some(2));

        hub.note_changes(|_| deployments(&[2]));
        hub.note_changes(|_| deployments(&[3]));
        let read = hub.take_due().expect("it is due");
        let AssignedDeployments::Of(ids) = deployments(&[2, 3]) else {
            unreachable!("they are some")
        };
        assert_eq!(read.selection, AssignmentSelection::Of(ids));
        publish(&hub, &read, vec![assignment(3, 3)]);
        let new = watch.next().now_or_never().expect("a new one");
        assert_eq!(new, [Arc::new(assignment(3, 3))]);
        // What may have been missed is found by a read of everything.
        hub.note_changes(|_| AssignedDeployments::Any);
        let read = hub.take_due().expect("it is due");
        assert_eq!(read.selection, AssignmentSelection::All);
        publish(&hub, &read, vec![assignment(1, 1), assignment(3, 3)]);
        assert_eq!(watch.next().now_or_never(), None, "it has both");
    }

    #[test]
    fn g8_what_becomes_available_is_read_and_nothing_else() {
        let hub = Arc::new(AssignmentHub::new());
        let _watch = hub.subscribe("g", &Projects::All);
        let read = hub.take_due().expect("it is due");
        hub.publish(
            &read,
            found(Vec::new(), Some(Duration::ZERO)),
            Duration::ZERO,
        );
        // A commit in between finds nothing that becomes available later.
        hub.note_changes(|_| deployments(&[1]));
        let since = hub.take_due().expect("it is due");
        let expected = AssignmentSelection::Since(Timestamp::from_micros(7));
        assert_eq!(since.selection, expected);
        let of = hub.take_due().expect("it is due as well");
        assert!(matches!(of.selection, AssignmentSelection::Of(_)), "{of:?}");
        assert_eq!(hub.take_due(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn g8_a_large_set_is_read_again_more_seldom() {
        for (took, seldom) in [(Duration::from_millis(1), 1), (Duration::from_secs(1), 100)] {
            let hub = Arc::new(AssignmentHub::new());
            let _watch = hub.subscribe("g", &Projects::All);
            let read = hub.take_due().expect("it is due");
            hub.publish(&read, found(Vec::new(), None), took);
            let next = hub.next_read_at().expect("a poll");
            assert_eq!(next, Instant::now() + Duration::from_secs(seldom));
        }
    }
}
