//! A share of something scarce for each key: a key that has used up its own waits in a line of
//! its own, and keeps no other key out.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits for each key, all with the same limit. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct FairShare<K> {
    shares: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
    limit: u32,
}

impl<K: Hash + Eq> FairShare<K> {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            shares: Arc::default(),
            limit,
        }
    }

    /// Waits for permits of a key, after those of the same key that came before. More than
    /// the limit would never be there, so there are no more.
    pub(crate) async fn acquire(&self, key: K, permits: u32) -> Option<OwnedSemaphorePermit> {
        let share = self.of(key);
        // None if it were closed, which it never is.
        share.acquire_many_owned(permits.min(self.limit)).await.ok()
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        let shares = self.shares.lock();
        let mut shares = shares.unwrap_or_else(PoisonError::into_inner);
        // A key of which nothing is taken needs no entry.
        if shares.len() >= MAX_IDLE {
            shares.retain(|_, share| Arc::strong_count(share) > 1);
        }
        // Tokio's semaphore is fair: the permits go to those who wait in the order they came.
        let permits = usize::try_from(self.limit).unwrap_or(Semaphore::MAX_PERMITS);
        let share = shares.entry(key);
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(permits))))
    }
}

const MAX_IDLE: usize = 1_000;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn g10_each_key_waits_in_a_line_of_its_own() {
        let shares = FairShare::new(2);
        let now = |key, permits| shares.acquire(key, permits).now_or_never().flatten();
        let first = now("a", 1).expect("the first");
        let _second = now("a", 1).expect("the second");
        let mut third = Box::pin(shares.acquire("a", 1));
        assert!((&mut third).now_or_never().is_none(), "a third waits");
        assert!(now("b", 2).is_some(), "another's own");
        drop(first);
        assert!(now("a", 1).is_none(), "it is behind the third");
        assert!(third.now_or_never().is_some());
    }

    #[test]
    fn g10_keys_that_have_nothing_are_forgotten() {
        let shares = FairShare::new(1);
        let taken = shares.acquire(0, 1).now_or_never();
        for key in 1..=3 * MAX_IDLE {
            shares.acquire(key, 1).now_or_never().expect("its first");
        }
        let kept = shares.shares.lock().expect("no panic");
        assert!(kept.len() <= MAX_IDLE, "{}", kept.len());
        assert!(kept.contains_key(&0), "it has one");
        drop(taken);
    }
}
