//! Who watches which groups, and what there is for them to take.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, watch};
use viridian_store::{GroupRoute, GroupRouteFilter};
use viridian_strategy::{DeploymentId, Timestamp};

use super::group::{ChangeVersion, GroupChanges, TakenChanges};
use crate::lock::lock;

/// Where a watch of routes goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteCursor {
    /// The position in the log up to which all changes were given.
    pub position: i64,
    /// When that was. A cursor that is too old is refused: routes that have ended are not
    /// kept for ever.
    pub time: Timestamp,
}

/// The groups that are watched.
pub(crate) struct RouteHub {
    state: Mutex<HubState>,
    /// Up to here all changes are there to be taken. None as long as there is no subscription.
    reached: watch::Sender<Option<RouteCursor>>,
    /// Notified at each new subscription.
    subscribed: Arc<Notify>,
    /// Notified when there may be something to read.
    due: Notify,
}

#[derive(Default)]
struct HubState {
    groups: HashMap<String, WatchedGroup>,
    /// Deployments with new events, which have to be read again.
    dirty: BTreeSet<DeploymentId>,
    /// Up to where the log is stable. Its events up to there belong to deployments that are
    /// dirty, or were. None while no watch follows the log.
    stable: Option<i64>,
    /// How many groups and subscriptions there have been.
    count: u64,
}

/// A group with at least one subscription.
struct WatchedGroup {
    id: GroupId,
    /// What each subscription has taken.
    taken: HashMap<u64, ChangeVersion>,
    changes: GroupChanges,
    /// Whether all of it was read once: only then changes can be sent.
    is_read: watch::Sender<bool>,
    published: watch::Sender<()>,
    has_news: bool,
}

/// Distinguishes a group from one of the same name whose last subscription has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupId(u64);

/// What is to be read now.
#[derive(Debug)]
pub(super) struct DueRoutes {
    pub(super) dirty: BTreeSet<DeploymentId>,
    /// Groups of which nothing was read yet.
    pub(super) unread: Vec<(String, GroupId)>,
    /// Up to where the log is stable, and its deployments are read with this.
    pub(super) stable: i64,
}

/// A watch's place in the hub, until it is dropped.
pub(super) struct RouteSubscription {
    hub: Arc<RouteHub>,
    resource_group: String,
    number: u64,
    is_read: watch::Receiver<bool>,
    published: watch::Receiver<()>,
}

impl RouteHub {
    pub(super) fn new(subscribed: Arc<Notify>) -> Self {
        Self {
            state: Mutex::default(),
            reached: watch::Sender::new(None),
            subscribed,
            due: Notify::new(),
        }
    }

    /// Subscribes to the changes of a group from now on.
    pub(super) fn subscribe(self: &Arc<Self>, resource_group: &str) -> RouteSubscription {
        let mut state = lock(&self.state);
        state.count += 1;
        let number = state.count;
        let group = state.groups.entry(resource_group.to_owned());
        let group = group.or_insert_with(|| WatchedGroup::new(GroupId(number)));
        group.taken.insert(number, group.changes.last());
        let (is_read, published) = (group.is_read.subscribe(), group.published.subscribe());
        drop(state);
        self.subscribed.notify_one();
        self.due.notify_one();
        RouteSubscription {
            hub: Arc::clone(self),
            resource_group: resource_group.to_owned(),
            number,
            is_read,
            published,
        }
    }

    /// Waits until all changes up to a position are there. Returns how far they are.
    pub(super) async fn reached(&self, position: i64) -> Option<RouteCursor> {
        // The reader of the log may be waiting for its next poll: it must look at once.
        self.subscribed.notify_one();
        let mut reached = self.reached.subscribe();
        let is_there = |at: &Option<RouteCursor>| at.is_some_and(|at| at.position >= position);
        let reached = reached.wait_for(is_there).await;
        reached.ok().and_then(|at| *at)
    }

    /// Up to where all changes are there.
    pub(super) fn position(&self) -> Option<RouteCursor> {
        *self.reached.borrow()
    }

    /// Notes deployments that have new events, and how far the log is stable.
    pub(crate) fn note(&self, changed: &[DeploymentId], stable: Option<i64>) {
        let mut state = lock(&self.state);
        if state.groups.is_empty() {
            return;
        }
        state.dirty.extend(changed);
        state.stable = stable.or(state.stable);
        drop(state);
        self.due.notify_one();
    }

    /// Whether there is no subscription. Then the reader of the log may rest, and what it
    /// does not see is not noted.
    pub(crate) fn is_idle(&self) -> bool {
        let mut state = lock(&self.state);
        let idle = state.groups.is_empty();
        if idle {
            // Under the lock: a group that comes now must not take what is noted for complete.
            state.dirty.clear();
            state.stable = None;
            self.reached.send_replace(None);
        }
        idle
    }

    /// Waits until there may be something to read.
    pub(super) async fn due(&self) {
        self.due.notified().await;
    }

    /// Takes what is to be read; none while there is no watch, or none follows the log.
    pub(super) fn take_due(&self) -> Option<DueRoutes> {
        let mut state = lock(&self.state);
        // A group is not read before the log is tailed: a change in between would be in neither.
        let stable = state.stable?;
        let dirty = std::mem::take(&mut state.dirty);
        let unread = state.groups.iter().filter(|(_, it)| !*it.is_read.borrow());
        let unread = unread.map(|(name, it)| (name.clone(), it.id)).collect();
        Some(DueRoutes {
            dirty,
            unread,
            stable,
        })
    }

    /// Whether a group has subscriptions.
    pub(super) fn is_watched(&self, resource_group: &str) -> bool {
        lock(&self.state).groups.contains_key(resource_group)
    }

    /// Keeps a page of the first read of a group; false if the group has gone.
    pub(super) fn learn(&self, resource_group: &str, id: GroupId, page: &[GroupRoute]) -> bool {
        let mut state = lock(&self.state);
        let group = state.groups.get_mut(resource_group);
        let group = group.filter(|group| group.id == id);
        group.map(|group| group.changes.learn(page)).is_some()
    }

    /// Keeps what deployments of a group are now, with all their routes.
    pub(super) fn update(
        &self,
        resource_group: &str,
        read: impl IntoIterator<Item = (DeploymentId, Vec<GroupRoute>)>,
    ) {
        let mut state = lock(&self.state);
        let Some(group) = state.groups.get_mut(resource_group) else {
            // Its last subscription ended during the read.
            return;
        };
        let before = group.changes.last();
        for (deployment, routes) in read {
            group.changes.update(deployment, routes);
        }
        group.has_news |= before != group.changes.last();
        group.drop_taken();
    }

    /// Notes that all that was due is read, and has watches take what is new.
    pub(super) fn finish(&self, due: &DueRoutes, time: Timestamp) {
        let mut state = lock(&self.state);
        // Reset meanwhile, if there was no subscription any more.
        if state.stable.is_some() {
            let position = due.stable;
            self.reached
                .send_replace(Some(RouteCursor { position, time }));
        }
        for (name, id) in &due.unread {
            let group = state.groups.get(name).filter(|group| group.id == *id);
            if let Some(group) = group {
                group.is_read.send_replace(true);
            }
        }
        // After the position: what watches take now is theirs up to there.
        for group in state.groups.values_mut() {
            if std::mem::take(&mut group.has_news) {
                group.published.send_replace(());
            }
        }
    }

    /// Has deployments read again whose read has failed.
    pub(super) fn put_back(&self, due: DueRoutes) {
        lock(&self.state).dirty.extend(due.dirty);
        self.due.notify_one();
    }
}

impl WatchedGroup {
    fn new(id: GroupId) -> Self {
        Self {
            id,
            taken: HashMap::new(),
            changes: GroupChanges::default(),
            is_read: watch::Sender::new(false),
            published: watch::Sender::new(()),
            has_news: false,
        }
    }

    fn drop_taken(&mut self) {
        if let Some(first) = self.taken.values().min() {
            self.changes.drop_taken(*first);
        }
    }
}

impl RouteSubscription {
    /// Waits until the group was read, so that its changes are sent from then on.
    pub(super) async fn read(&mut self) {
        // The group with its senders stays in the hub until this subscription is dropped.
        if self.is_read.wait_for(|is_read| *is_read).await.is_err() {
            std::future::pending().await
        }
    }

    /// Takes a few changes that were not taken yet. What comes after them ends the next
    /// [`published`](Self::published).
    pub(super) fn take(&mut self, filter: &GroupRouteFilter) -> TakenChanges {
        // Before the look: what is published after it ends the wait.
        self.published.mark_unchanged();
        let mut state = lock(&self.hub.state);
        let nothing = TakenChanges {
            routes: Vec::new(),
            is_all: true,
        };
        let Some(group) = state.groups.get_mut(&self.resource_group) else {
            return nothing;
        };
        let (taken, changes) = (&mut group.taken, &group.changes);
        let version = taken.get_mut(&self.number);
        version.map_or(nothing, |version| changes.take_after(version, filter))
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(super) async fn published(&mut self) {
        if self.published.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

impl Drop for RouteSubscription {
    fn drop(&mut self) {
        let mut state = lock(&self.hub.state);
        if let Some(group) = state.groups.get_mut(&self.resource_group) {
            group.taken.remove(&self.number);
            group.drop_taken();
            if group.taken.is_empty() {
                state.groups.remove(&self.resource_group);
            }
        }
    }
}
