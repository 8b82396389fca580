//! A line for each deployment that several callers of this process want.
//!
//! Only its head takes a connection and waits for the deployment's lock. The
//! others wait here, where it costs nothing: or else the callers of one
//! deployment that is held use up the pool, and everyone else waits too.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Seat, OwnedMutexGuard},
    time::timeout_at,
};
use viridian_strategy::DeploymentId;

use super::wait::WaitStart;
use crate::error::StoreError;

/// All lines. There is one for a deployment while someone stands in it.
#[derive(Clone)]
pub(crate) struct Lines {
    lines: Arc<Mutex<HashMap<DeploymentId, Line>>>,
    patience: Duration,
}

#[derive(Default)]
struct Line {
    /// Had by its head. The lock is tokio's, which is fair.
    seat: Arc<Seat<()>>,
    people: usize,
}

/// At the head of some lines: nobody else here waits for those deployments.
pub(crate) struct Heads {
    _places: Vec<Place>,
}

struct Place {
    lines: Lines,
    deployment: DeploymentId,
    head: Option<OwnedMutexGuard<()>>,
}

impl Lines {
    /// Those in which nobody waits for longer than `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            lines: Arc::default(),
            patience,
        }
    }

    /// Waits in the lines of some deployments, one after the other in the order
    /// in which their locks are taken. [`StoreError::Held`] when it takes too
    /// long.
    pub(crate) async fn stand_in(
        &self,
        since: WaitStart,
        deployments: impl IntoIterator<Item = DeploymentId>,
    ) -> Result<Heads, StoreError> {
        let end = since.deadline(self.patience);
        let mut places = Vec::new();
        for deployment in BTreeSet::from_iter(deployments) {
            let (mut place, seat) = self.join(deployment);
            let head = timeout_at(end, seat.lock_owned()).await;
            place.head = Some(head.map_err(|_| StoreError::Held)?);
            places.push(place);
        }
        Ok(Heads { _places: places })
    }

    /// Returns how long the database may wait for the locks, if that has to be said: it is
    /// worth a trip only for a call that has waited for a good while.
    pub(crate) fn time_left(&self, since: WaitStart) -> Option<Duration> {
        let left = since.left(self.patience);
        // No time at all would be no limit.
        (left < self.patience * 9 / 10).then(|| left.max(LAST_TRY.min(self.patience)))
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.lines().len()
    }

    fn join(&self, deployment: DeploymentId) -> (Place, Arc<Seat<()>>) {
        let mut lines = self.lines();
        let line = lines.entry(deployment).or_default();
        line.people += 1;
        let place = Place {
            lines: self.clone(),
            deployment,
            head: None,
        };
        (place, Arc::clone(&line.seat))
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<DeploymentId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The last one to leave takes the line away.
impl Drop for Place {
    fn drop(&mut self) {
        // Before the line goes: a newcomer begins another one.
        self.head = None;
        let mut lines = self.lines.lines();
        if let Some(line) = lines.get_mut(&self.deployment) {
            line.people -= 1;
            if line.people == 0 {
                lines.remove(&self.deployment);
            }
        }
    }
}

/// How long a call waits for a lock that has no time left: what is held for a moment
/// only is not refused.
const LAST_TRY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use futures::{FutureExt as _, poll};
    use uuid::Uuid;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn ids<const N: usize>() -> [DeploymentId; N] {
        std::array::from_fn(|_| DeploymentId(Uuid::now_v7()))
    }

    #[tokio::test]
    async fn whoever_came_first_is_first() {
        let lines = Lines::new(PATIENCE);
        let [id, other] = ids();
        let head = lines
            .stand_in(WaitStart::now(), [id])
            .await
            .expect("nobody is before it");
        let mut second = Box::pin(lines.stand_in(WaitStart::now(), [id]));
        let mut third = Box::pin(lines.stand_in(WaitStart::now(), [other, id]));
        assert!(poll!(&mut second).is_pending() && poll!(&mut third).is_pending());
        drop(head);
        assert!(poll!(&mut third).is_pending());
        let second = second.now_or_never().expect("it is its turn");
        drop(second);
        let third = third.now_or_never().expect("it is its turn");
        assert_eq!(lines.count(), 2);
        drop(third);
        assert_eq!(lines.count(), 0, "they are taken away");
    }

    #[tokio::test]
    async fn nobody_waits_for_longer_than_there_is_patience() {
        let patience = Duration::from_millis(100);
        let lines = Lines::new(patience);
        let [id, other] = ids();
        let _head = lines
            .stand_in(WaitStart::now(), [id])
            .await
            .expect("nobody is before it");
        let begin = Instant::now();
        let waited = lines.stand_in(WaitStart::now(), [id, other]).await;
        assert!(matches!(waited, Err(StoreError::Held)));
        assert!(begin.elapsed() >= patience);
        assert_eq!(lines.count(), 1, "it stands in none any more");
    }

    #[tokio::test]
    async fn who_goes_away_leaves_its_place() {
        let lines = Lines::new(PATIENCE);
        let [id] = ids();
        let head = lines
            .stand_in(WaitStart::now(), [id])
            .await
            .expect("nobody is before it");
        {
            let mut gone = Box::pin(lines.stand_in(WaitStart::now(), [id]));
            assert!(poll!(&mut gone).is_pending());
        }
        drop(head);
        assert_eq!(lines.count(), 0);
        let next = lines.stand_in(WaitStart::now(), [id]).now_or_never();
        assert!(next.is_some_and(|heads| heads.is_ok()));
    }
}
