//! A semaphore for each key, all with the same limit.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// A semaphore for each key. A key without permits takes no memory.
#[derive(Clone, Debug)]
pub(crate) struct KeyedSemaphore<K> {
    counts: Arc<Mutex<HashMap<K, u32>>>,
    limit: u32,
}

/// A permit, until it is dropped.
#[derive(Debug)]
pub(crate) struct KeyedPermit<K: Hash + Eq> {
    counts: Arc<Mutex<HashMap<K, u32>>>,
    key: K,
}

impl<K: Hash + Eq + Clone> KeyedSemaphore<K> {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            counts: Arc::default(),
            limit,
        }
    }

    /// A permit of a key, unless its limit is reached.
    pub(crate) fn try_acquire(&self, key: K) -> Option<KeyedPermit<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or_default();
        // Before anything is inserted: a key that is refused must not take memory.
        if count >= self.limit {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        let counts = Arc::clone(&self.counts);
        Some(KeyedPermit { counts, key })
    }
}

impl<K: Hash + Eq> Drop for KeyedPermit<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
            // Without this, the map would keep an entry for each key that ever came.
            _ => {
                counts.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_permits_up_to_the_limit() {
        let semaphore = KeyedSemaphore::new(2);
        let first = semaphore.try_acquire("a").expect("the first");
        let _second = semaphore.try_acquire("a").expect("the second");
        assert!(semaphore.try_acquire("a").is_none(), "a third");
        let other = semaphore.try_acquire("b").expect("another's first");
        drop(first);
        semaphore.try_acquire("a").expect("there is room again");
        drop(other);
        assert_eq!(semaphore.counts.lock().expect("no panic").len(), 1);
    }
}
