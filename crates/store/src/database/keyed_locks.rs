//! A lock for each deployment that several callers of this process want.
//!
//! Only its held takes a connection and waits for the deployment's lock. The
//! others wait here, where it costs nothing: or else the callers of one
//! deployment that is held use up the pool, and everyone else waits too.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as FairMutex, OwnedMutexGuard},
    time::timeout_at,
};
use viridian_strategy::DeploymentId;

use super::wait::WaitStart;
use crate::error::StoreError;

/// All locks. There is one for a deployment while someone stands in it.
#[derive(Clone)]
pub(crate) struct KeyedLocks {
    locks: Arc<Mutex<HashMap<DeploymentId, FairLock>>>,
    lock_timeout: Duration,
}

#[derive(Default)]
struct FairLock {
    /// Had by its held. The lock is tokio's, which is fair.
    mutex: Arc<FairMutex<()>>,
    waiters: usize,
}

/// At the held of some locks: nobody else here waits for those deployments.
pub(crate) struct KeyedGuards {
    _guards: Vec<KeyedGuard>,
}

struct KeyedGuard {
    locks: KeyedLocks,
    deployment: DeploymentId,
    held: Option<OwnedMutexGuard<()>>,
}

impl KeyedLocks {
    /// Those in which nobody waits for longer than `lock_timeout`.
    pub(crate) fn new(lock_timeout: Duration) -> Self {
        Self {
            locks: Arc::default(),
            lock_timeout,
        }
    }

    /// Waits in the locks of some deployments, one after the other in the order
    /// in which their locks are taken. [`StoreError::LockTimeout`] when it takes too
    /// long.
    pub(crate) async fn acquire(
        &self,
        since: WaitStart,
        deployments: impl IntoIterator<Item = DeploymentId>,
    ) -> Result<KeyedGuards, StoreError> {
        let end = since.deadline(self.lock_timeout);
        let mut guards = Vec::new();
        for deployment in BTreeSet::from_iter(deployments) {
            let (mut guard, mutex) = self.register(deployment);
            let held = timeout_at(end, mutex.lock_owned()).await;
            guard.held = Some(held.map_err(|_| StoreError::LockTimeout)?);
            guards.push(guard);
        }
        Ok(KeyedGuards { _guards: guards })
    }

    /// Returns how long the database may wait for the locks, if that has to be said: it is
    /// worth a round trip only for a call that has waited for a good while.
    pub(crate) fn time_left(&self, since: WaitStart) -> Option<Duration> {
        let left = since.left(self.lock_timeout);
        // No time at all would be no limit.
        (left < self.lock_timeout * 9 / 10).then(|| left.max(MIN_LOCK_WAIT.min(self.lock_timeout)))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.locks().len()
    }

    fn register(&self, deployment: DeploymentId) -> (KeyedGuard, Arc<FairMutex<()>>) {
        let mut locks = self.locks();
        let lock = locks.entry(deployment).or_default();
        lock.waiters += 1;
        let guard = KeyedGuard {
            locks: self.clone(),
            deployment,
            held: None,
        };
        (guard, Arc::clone(&lock.mutex))
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<DeploymentId, FairLock>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last one to leave takes the lock away.
impl Drop for KeyedGuard {
    fn drop(&mut self) {
        // Before the lock goes: a newcomer begins another one.
        self.held = None;
        let mut locks = self.locks.locks();
        if let Some(lock) = locks.get_mut(&self.deployment) {
            lock.waiters -= 1;
            if lock.waiters == 0 {
                locks.remove(&self.deployment);
            }
        }
    }
}

/// How long a call waits for a lock that has no time left: what is held for a moment
/// only is not refused.
const MIN_LOCK_WAIT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::{FutureExt as _, poll};
    use uuid::Uuid;

    use super::*;

    const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

    fn ids<const N: usize>() -> [DeploymentId; N] {
        std::array::from_fn(|_| DeploymentId(Uuid::now_v7()))
    }

    #[tokio::test]
    async fn whoever_came_first_is_first() {
        let locks = KeyedLocks::new(LOCK_TIMEOUT);
        let [id, other] = ids();
        let held = locks
            .acquire(WaitStart::now(), [id])
            .await
            .expect("nobody is before it");
        let mut second = Box::pin(locks.acquire(WaitStart::now(), [id]));
        let mut third = Box::pin(locks.acquire(WaitStart::now(), [other, id]));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(held);
        assert!(poll!(&mut third).is_pending());
        let second = second.now_or_never().expect("it is its turn");
        drop(second);
        let third = third.now_or_never().expect("it is its turn");
        assert_eq!(locks.count(), 2);
        drop(third);
        assert_eq!(locks.count(), 0, "they are taken away");
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_there_is_patience() {
        let lock_timeout = Duration::from_millis(100);
        let locks = KeyedLocks::new(lock_timeout);
        let [id, other] = ids();
        let _head = locks
            .acquire(WaitStart::now(), [id])
            .await
            .expect("nobody is before it");
        let begin = Instant::now();
        let waited = locks.acquire(WaitStart::now(), [id, other]).await;
        assert!(matches!(waited, Err(StoreError::LockTimeout)));
        assert!(begin.elapsed() >= lock_timeout);
        assert_eq!(locks.count(), 1, "it stands in none any more");
    }

    #[tokio::test]
    async fn who_goes_away_leaves_its_place() {
        let locks = KeyedLocks::new(LOCK_TIMEOUT);
        let [id] = ids();
        let held = locks
            .acquire(WaitStart::now(), [id])
            .await
            .expect("nobody is before it");
        {
            let mut gone = Box::pin(locks.acquire(WaitStart::now(), [id]));
            assert!(poll!(&mut gone).is_pending());
        }
        drop(held);
        assert_eq!(locks.count(), 0);
        let next = locks.acquire(WaitStart::now(), [id]).now_or_never();
        assert!(next.is_some_and(|heads| heads.is_ok()));
    }
}
