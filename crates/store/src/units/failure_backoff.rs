//! Deployments that keep failing are reconciled less and less often.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use viridian_strategy::{DeploymentId, Timestamp};

/// How long deployments that fail are postponed: exponentially longer, up to a maximum.
///
/// Each process counts the failures that it saw, in memory. So a server that has just started
/// tries all deployments once more, and each of several servers begins with the shortest time.
/// That costs a few attempts in vain, and there is no state to keep consistent.
#[derive(Debug)]
pub struct FailureBackoff {
    initial: Duration,
    max: Duration,
    failing: Mutex<HashMap<DeploymentId, FailureRecord>>,
}

#[derive(Clone, Copy, Debug)]
struct FailureRecord {
    times: u32,
    until: Timestamp,
}

impl Default for FailureBackoff {
    fn default() -> Self {
        Self::new(INITIAL_BACKOFF, MAX_BACKOFF)
    }
}

impl FailureBackoff {
    /// Begins with `initial`, and doubles up to `max`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max: max.max(initial),
            failing: Mutex::default(),
        }
    }

    /// Returns how long a deployment is postponed that fails now.
    pub(crate) fn delay(&self, id: DeploymentId, now: Timestamp) -> Duration {
        self.after(before(&self.failing(), id, now))
    }

    /// Records that some failed and were postponed.
    pub(crate) fn record_failures(&self, ids: &[DeploymentId], now: Timestamp) {
        let mut failing = self.failing();
        // Old enough that another process has reconciled it since, and it did not fail there.
        failing.retain(|_, it| it.until + self.max > now);
        for &id in ids {
            let times = before(&failing, id, now);
            let entry = FailureRecord {
                times: times.saturating_add(1),
                until: now + self.after(times),
            };
            failing.insert(id, entry);
        }
    }

    /// Clears the failures of deployments that succeeded.
    pub(crate) fn reset(&self, ids: &[DeploymentId]) {
        let mut failing = self.failing();
        if !failing.is_empty() {
            ids.iter().for_each(|id| {
                failing.remove(id);
            });
        }
    }

    /// Returns how many this process has postponed at this time.
    pub(crate) fn count(&self, now: Timestamp) -> usize {
        let failing = self.failing();
        failing.values().filter(|it| it.until > now).count()
    }

    fn after(&self, times: u32) -> Duration {
        let factor = 2_u32.saturating_pow(times);
        self.initial.saturating_mul(factor).min(self.max)
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<DeploymentId, FailureRecord>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how often one failed before. A failure that another worker of this process saw at
/// the same time counts once.
fn before(failing: &HashMap<DeploymentId, FailureRecord>, id: DeploymentId, now: Timestamp) -> u32 {
    let times = |it: &FailureRecord| it.times - u32::from(it.until > now);
    failing.get(&id).map_or(0, times)
}

const INITIAL_BACKOFF: Duration = Duration::from_secs(10);
// Whatever made a deployment fail, it is tried again within this time after it was mended.
const MAX_BACKOFF: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_time_doubles_up_to_the_longest_and_begins_anew_once_all_is_well() {
        let (backoff, id, mut now) = start();
        for expected in [10, 20, 40, 60, 60] {
            assert_eq!(backoff.delay(id, now), secs(expected));
            backoff.record_failures(&[id], now);
            assert_eq!(backoff.count(now), 1);
            now = now + secs(expected);
            assert_eq!(backoff.count(now), 0, "it is looked at again");
        }
        backoff.reset(&[id]);
        assert_eq!(backoff.delay(id, now), secs(10));
    }

    #[test]
    fn each_has_its_own() {
        let (backoff, id, now) = start();
        backoff.record_failures(&[id], now);
        assert_eq!(backoff.delay(DeploymentId(Uuid::max()), now), secs(10));
    }

    #[test]
    fn what_others_have_done_since_is_forgotten() {
        let (backoff, id, now) = start();
        backoff.record_failures(&[id], now);
        let soon = now + secs(10 + 59);
        backoff.record_failures(&[], soon);
        assert_eq!(backoff.delay(id, soon), secs(20), "it may still be failing");
        let late = now + secs(10 + 60);
        backoff.record_failures(&[], late);
        assert_eq!(backoff.delay(id, late), secs(10));
        assert!(backoff.failing().is_empty());
    }

    #[test]
    fn no_number_of_times_is_too_large() {
        let (backoff, id, now) = start();
        for minute in 0..100 {
            backoff.record_failures(&[id], now + secs(60 * minute));
        }
        assert_eq!(backoff.delay(id, now + secs(60 * 100)), secs(60));
    }

    #[test]
    fn two_who_meet_it_at_once_count_once() {
        let (backoff, id, now) = start();
        for _ in 0..2 {
            assert_eq!(backoff.delay(id, now), secs(10));
            backoff.record_failures(&[id], now);
        }
        assert_eq!(backoff.delay(id, now + secs(10)), secs(20));
    }

    fn start() -> (FailureBackoff, DeploymentId, Timestamp) {
        let backoff = FailureBackoff::new(secs(10), secs(60));
        (
            backoff,
            DeploymentId(Uuid::nil()),
            Timestamp::from_micros(1_000_000),
        )
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
