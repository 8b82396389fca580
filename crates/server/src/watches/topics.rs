//! Who follows what.

use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Subscribers by what they follow.
pub(super) struct Topics<K, S>(HashMap<K, Vec<Arc<S>>>);

impl<K: Eq + Hash, S> Topics<K, S> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn insert(&mut self, topics: impl IntoIterator<Item = K>, subscriber: &Arc<S>) {
        for topic in topics {
            let subscribers = self.0.entry(topic).or_default();
            subscribers.push(Arc::clone(subscriber));
        }
    }

    pub(super) fn remove<'a>(
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

    pub(super) fn of(&self, topic: &K) -> &[Arc<S>] {
        self.0.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(super) fn followed(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    /// All of them; one that follows several may come several times.
    pub(super) fn subscribers(&self) -> impl Iterator<Item = &Arc<S>> {
        self.0.values().flatten()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
