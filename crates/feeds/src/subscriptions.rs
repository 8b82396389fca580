//! Who subscribed to what.

use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Subscribers by the topics that they subscribed to.
pub(crate) struct Subscriptions<K, S>(HashMap<K, Vec<Arc<S>>>);

impl<K: Eq + Hash, S> Subscriptions<K, S> {
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(crate) fn insert(&mut self, topics: impl IntoIterator<Item = K>, subscriber: &Arc<S>) {
        for topic in topics {
            let subscribers = self.0.entry(topic).or_default();
            subscribers.push(Arc::clone(subscriber));
        }
    }

    pub(crate) fn remove<'a>(
        &mut self,
        topics: impl IntoIterator<Item = &'a K>,
        subscriber: &Arc<S>,
    ) where
        K: 'a,
    {
        for topic in topics {
            if let Some(subscribers) = self.0.get_mut(topic) {
                subscribers.retain(|other| !Arc::ptr_eq(other, subscriber));
                if subscribers.is_empty() {
                    self.0.remove(topic);
                }
            }
        }
    }

    pub(crate) fn of(&self, topic: &K) -> &[Arc<S>] {
        self.0.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    /// All of them; one that subscribed to several topics comes several times.
    pub(crate) fn subscribers(&self) -> impl Iterator<Item = &Arc<S>> {
        self.0.values().flatten()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
