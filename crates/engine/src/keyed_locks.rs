//! A fair lock for each key that several callers of this process want.
//!
//! Only the caller that has the key's lock takes a connection and waits for the row's lock
//! in the database. The others wait here, where that costs nothing. Without it the callers
//! of one locked row would use up the pool, and everyone else would wait too.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as FairMutex, OwnedMutexGuard},
    time::timeout_at,
};

use crate::{error::EngineError, wait::WaitStart};

/// The locks of all keys. A key has one while a caller holds it or waits for it.
#[derive(Clone)]
pub struct KeyedLocks<K: Eq + Hash> {
    locks: Arc<Mutex<HashMap<K, KeyLock>>>,
    lock_timeout: Duration,
}

#[derive(Default)]
struct KeyLock {
    /// The lock is tokio's, which is fair.
    mutex: Arc<FairMutex<()>>,
    waiters: usize,
}

/// The locks of some keys. Dropped, the next waiters get them.
pub struct KeyedGuards<K: Copy + Eq + Hash> {
    _guards: Vec<KeyedGuard<K>>,
}

struct KeyedGuard<K: Copy + Eq + Hash> {
    locks: KeyedLocks<K>,
    key: K,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Copy + Ord + Hash> KeyedLocks<K> {
    /// Makes locks that a call waits for no longer than `lock_timeout`.
    pub fn new(lock_timeout: Duration) -> Self {
        Self {
            locks: Arc::default(),
            lock_timeout,
        }
    }

    /// Locks some keys, one after the other in the order in which the database locks them,
    /// so that no two callers wait for each other.
    ///
    /// # Errors
    ///
    /// [`EngineError::LockTimeout`].
    pub async fn acquire(
        &self,
        since: WaitStart,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<KeyedGuards<K>, EngineError> {
        // One deadline for all keys. With one for each, a caller of several keys could wait several
        // times the timeout.
        let deadline = since.deadline(self.lock_timeout);
        let mut guards = Vec::new();
        for key in BTreeSet::from_iter(keys) {
            // The guard is made before the wait, so a caller that is cancelled or times out counts
            // as a waiter no longer.
            let (mut guard, mutex) = self.register(key);
            let held = timeout_at(deadline, mutex.lock_owned()).await;
            guard.held = Some(held.map_err(|_| EngineError::LockTimeout)?);
            guards.push(guard);
        }
        Ok(KeyedGuards { _guards: guards })
    }

    /// Returns how long the database may wait for the rows' locks, if that has to be said:
    /// it costs a round trip, so only a call that has waited for a while does.
    pub fn time_left(&self, since: WaitStart) -> Option<Duration> {
        let left = since.left(self.lock_timeout);
        // PostgreSQL takes 0 for "no limit".
        (left < self.lock_timeout * 9 / 10).then(|| left.max(MIN_LOCK_WAIT.min(self.lock_timeout)))
    }

    /// Returns how many keys are locked or waited for.
    pub fn count(&self) -> usize {
        self.locks().len()
    }

    fn register(&self, key: K) -> (KeyedGuard<K>, Arc<FairMutex<()>>) {
        let mut locks = self.locks();
        let lock = locks.entry(key).or_default();
        // Counted under the lock under which keys are removed. Otherwise the last holder could
        // remove the key now, and a newcomer would make a second lock for it.
        lock.waiters += 1;
        let guard = KeyedGuard {
            locks: self.clone(),
            key,
            held: None,
        };
        (guard, Arc::clone(&lock.mutex))
    }
}

impl<K: Eq + Hash> KeyedLocks<K> {
    fn locks(&self) -> MutexGuard<'_, HashMap<K, KeyLock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last one to leave removes the key.
impl<K: Copy + Eq + Hash> Drop for KeyedGuard<K> {
    fn drop(&mut self) {
        // Before the key is removed: a newcomer would make a second lock for it.
        self.held = None;
        let mut locks = self.locks.locks();
        if let Some(lock) = locks.get_mut(&self.key) {
            lock.waiters -= 1;
            if lock.waiters == 0 {
                locks.remove(&self.key);
            }
        }
    }
}

/// The shortest wait for a row's lock, also for a call that has no time left: a lock that
/// is held for a moment only is no reason to refuse it.
const MIN_LOCK_WAIT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::{FutureExt as _, poll};

    use super::*;

    const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

    #[tokio::test]
    async fn callers_get_a_key_in_the_order_in_which_they_came() {
        let locks = KeyedLocks::new(LOCK_TIMEOUT);
        let (key, other) = (1, 0);
        let first = acquire(&locks, [key]).await.expect("it is free");
        let mut second = Box::pin(acquire(&locks, [key]));
        let mut third = Box::pin(locks.acquire(WaitStart::now(), [other, key]));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending());
        let second = second.now_or_never().expect("it is its turn");
        drop(second);
        let third = third.now_or_never().expect("it is its turn");
        assert_eq!(locks.count(), 2);
        drop(third);
        assert_eq!(locks.count(), 0, "unused keys are removed");
    }

    #[tokio::test]
    async fn a_caller_gives_up_at_the_lock_timeout() {
        let lock_timeout = Duration::from_millis(100);
        let locks = KeyedLocks::new(lock_timeout);
        let _first = acquire(&locks, [1]).await.expect("it is free");
        let begin = Instant::now();
        let waited = locks.acquire(WaitStart::now(), [1, 2]).await;
        assert!(matches!(waited, Err(EngineError::LockTimeout)));
        assert!(begin.elapsed() >= lock_timeout);
        assert_eq!(locks.count(), 1, "it waits for none any more");
    }

    #[tokio::test]
    async fn a_cancelled_caller_is_no_longer_waited_for() {
        let locks = KeyedLocks::new(LOCK_TIMEOUT);
        let first = acquire(&locks, [1]).await.expect("it is free");
        {
            let mut cancelled = Box::pin(acquire(&locks, [1]));
            assert!(poll!(&mut cancelled).is_pending());
        }
        drop(first);
        assert_eq!(locks.count(), 0);
        let next = acquire(&locks, [1]).now_or_never();
        assert!(next.is_some_and(|guards| guards.is_ok()));
    }

    #[tokio::test]
    async fn a_call_without_time_left_takes_what_is_free_and_tells_the_database() {
        let locks = KeyedLocks::new(Duration::ZERO);
        let since = WaitStart::now();
        assert!(locks.acquire(since, [1]).await.is_ok());
        let locks = KeyedLocks::<u8>::new(LOCK_TIMEOUT);
        assert_eq!(locks.time_left(since), None, "it has all its time");
    }

    async fn acquire(
        locks: &KeyedLocks<u8>,
        keys: [u8; 1],
    ) -> Result<KeyedGuards<u8>, EngineError> {
        locks.acquire(WaitStart::now(), keys).await
    }
}
