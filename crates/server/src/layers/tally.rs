//! How many of something each has, up to a limit.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// How many of something each has. Who has none takes no room.
#[derive(Clone, Debug)]
pub(crate) struct Tally<K> {
    counts: Arc<Mutex<HashMap<K, u32>>>,
    most: u32,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken<K: Hash + Eq> {
    counts: Arc<Mutex<HashMap<K, u32>>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Tally<K> {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            counts: Arc::default(),
            most,
        }
    }

    /// Takes one more, unless there are as many as there may be.
    pub(crate) fn take(&self, key: K) -> Option<Taken<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(&key).copied().unwrap_or_default();
        if count >= self.most {
            return None;
        }
        counts.insert(key.clone(), count + 1);
        let counts = Arc::clone(&self.counts);
        Some(Taken { counts, key })
    }
}

impl<K: Hash + Eq> Drop for Taken<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(&self.key) {
            Some(count) if *count > 1 => *count -= 1,
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
    fn each_has_as_many_as_there_may_be() {
        let tally = Tally::new(2);
        let first = tally.take("a").expect("the first");
        let _second = tally.take("a").expect("the second");
        assert!(tally.take("a").is_none(), "a third");
        let other = tally.take("b").expect("another's first");
        drop(first);
        tally.take("a").expect("there is room again");
        drop(other);
        assert_eq!(tally.counts.lock().expect("no panic").len(), 1);
    }
}
