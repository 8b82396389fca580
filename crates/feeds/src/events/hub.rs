//! Hands events to those who subscribed.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, watch};
use viridian_strategy::DeploymentId;

use super::{
    event::CommittedEvent,
    mailbox::{Mail, Mailbox, WatchLag},
};
use crate::{lock::lock, subscriptions::Subscriptions};

/// What a watch subscribes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum EventTopic {
    Deployment(DeploymentId),
    Project(String),
}

/// Hands every event to the mailboxes that subscribed to it.
pub(crate) struct EventHub {
    subscribers: Mutex<Subscribers>,
    /// The high-water mark: up to here the log is stable and handed out. None as long
    /// as there is no subscription.
    stable: watch::Sender<Option<i64>>,
    capacity: usize,
    /// Notified at each new subscription.
    subscribed: Arc<Notify>,
}

struct Subscribers {
    by_topic: Subscriptions<EventTopic, Mailbox>,
    /// Those who came since the last page was begun.
    new_subscribers: Vec<Arc<Mailbox>>,
}

/// A watch's place in the hub, until it is dropped.
pub(super) struct EventSubscription {
    hub: Arc<EventHub>,
    topics: Vec<EventTopic>,
    mailbox: Arc<Mailbox>,
}

impl EventHub {
    pub(super) fn new(capacity: usize, subscribed: Arc<Notify>) -> Self {
        let subscribers = Subscribers {
            by_topic: Subscriptions::new(),
            new_subscribers: Vec::new(),
        };
        Self {
            subscribers: Mutex::new(subscribers),
            stable: watch::Sender::new(None),
            capacity: capacity.max(1),
            subscribed,
        }
    }

    /// Subscribes to whatever comes after [`EventHub::stable`] from now on.
    pub(super) fn subscribe(self: &Arc<Self>, topics: Vec<EventTopic>) -> EventSubscription {
        let mailbox = Arc::default();
        let mut subscribers = lock(&self.subscribers);
        subscribers
            .by_topic
            .insert(topics.iter().cloned(), &mailbox);
        subscribers.new_subscribers.push(Arc::clone(&mailbox));
        drop(subscribers);
        self.subscribed.notify_one();
        EventSubscription {
            hub: Arc::clone(self),
            topics,
            mailbox,
        }
    }

    /// Up to where the log is stable, if that is known.
    pub(crate) fn stable(&self) -> Option<i64> {
        *self.stable.borrow()
    }

    /// Waits until the log is stable up to a position. Returns how far it is.
    pub(super) async fn stable_at(&self, position: i64) -> i64 {
        // The reader may be waiting for its next poll: it must look at once.
        self.subscribed.notify_one();
        let mut stable = self.stable.subscribe();
        let reached = stable.wait_for(|stable| stable.is_some_and(|at| at >= position));
        let at = reached.await.ok().and_then(|stable| *stable);
        at.unwrap_or(position)
    }

    pub(super) fn lag(&self) -> WatchLag {
        let stable = self.stable().unwrap_or(0);
        let subscribers = lock(&self.subscribers);
        let mut lag = WatchLag::default();
        let mut seen = HashSet::new();
        for mailbox in subscribers.by_topic.subscribers() {
            if seen.insert(Arc::as_ptr(mailbox)) {
                mailbox.add_to(&mut lag, stable);
            }
        }
        lag
    }

    /// Begins a page of the log, and returns whether anybody has subscribed. A later subscriber
    /// reads the log itself.
    pub(crate) fn begin_page(&self) -> bool {
        let mut subscribers = lock(&self.subscribers);
        subscribers.new_subscribers.clear();
        !subscribers.by_topic.is_empty()
    }

    /// Returns whether anybody has subscribed to events of a deployment.
    pub(crate) fn is_wanted(&self, deployment: DeploymentId, project: &str) -> bool {
        let subscribers = lock(&self.subscribers);
        let is_wanted = |topic: &EventTopic| !subscribers.by_topic.of(topic).is_empty();
        is_wanted(&EventTopic::Deployment(deployment))
            || is_wanted(&EventTopic::Project(project.to_owned()))
    }

    /// Hands out all wanted events since the last [`EventHub::begin_page`], up to where the
    /// log is stable now.
    pub(crate) fn publish(&self, events: &[Arc<CommittedEvent>], stable: i64) {
        let mut subscribers = lock(&self.subscribers);
        // Before any mark: a watch that finds itself lagged reads up to here.
        self.stable.send_replace(Some(stable));
        // What was read does not cover the topics of those who came meanwhile.
        for mailbox in std::mem::take(&mut subscribers.new_subscribers) {
            mailbox.mark_lagged(0);
        }
        for event in events {
            let deployment = &event.event.deployment;
            let project = EventTopic::Project(deployment.project.clone());
            for topic in [EventTopic::Deployment(deployment.id), project] {
                for mailbox in subscribers.by_topic.of(&topic) {
                    mailbox.put(event, self.capacity);
                }
            }
        }
    }

    /// Has every watch read for itself what is stable now.
    pub(crate) fn skip_to(&self, stable: i64) {
        let mut subscribers = lock(&self.subscribers);
        for mailbox in std::mem::take(&mut subscribers.new_subscribers) {
            mailbox.mark_lagged(0);
        }
        let before = self.stable.send_replace(Some(stable)).unwrap_or(0);
        for mailbox in subscribers.by_topic.subscribers() {
            // What was stable before is delivered: the watch reads from there.
            mailbox.mark_lagged(before);
        }
    }

    /// Whether there is no subscription. Then the reader rests, and how far the log is stable
    /// is not known any more.
    pub(crate) fn is_idle(&self) -> bool {
        let subscribers = lock(&self.subscribers);
        let idle = subscribers.by_topic.is_empty();
        if idle {
            // Under the lock: one that subscribes now must not find the old mark.
            self.stable.send_replace(None);
        }
        idle
    }
}

impl EventSubscription {
    pub(super) fn take(&self) -> Mail {
        self.mailbox.take()
    }

    /// Resolves when there is something to take. Cancel safe.
    pub(super) async fn delivered(&self) {
        self.mailbox.delivered().await;
    }

    pub(super) fn is_full(&self) -> bool {
        self.mailbox.is_full()
    }
}

impl Drop for EventSubscription {
    fn drop(&mut self) {
        let mut subscribers = lock(&self.hub.subscribers);
        subscribers.by_topic.remove(&self.topics, &self.mailbox);
        subscribers
            .new_subscribers
            .retain(|other| !Arc::ptr_eq(other, &self.mailbox));
    }
}
