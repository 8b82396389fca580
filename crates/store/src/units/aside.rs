//! What keeps failing is looked at less and less often.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use viridian_strategy::{DeploymentId, Timestamp};

/// For how long deployments that fail are set aside: longer each time that one
/// fails again.
///
/// A process remembers by itself what failed in it. So a server that has just
/// started looks at all of it once more, and of several each begins with the
/// shortest time: a few looks in vain, and nothing to be kept right.
#[derive(Debug)]
pub struct SetAside {
    first: Duration,
    longest: Duration,
    failing: Mutex<HashMap<DeploymentId, Failing>>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    times: u32,
    until: Timestamp,
}

impl Default for SetAside {
    fn default() -> Self {
        Self::new(FIRST, LONGEST)
    }
}

impl SetAside {
    /// At first for one time, then for twice as long each time, up to a longest.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest: longest.max(first),
            failing: Mutex::default(),
        }
    }

    /// For how long one is set aside that fails now.
    pub(crate) fn time(&self, id: DeploymentId, now: Timestamp) -> Duration {
        self.after(before(&self.failing(), id, now))
    }

    /// Notes that some were set aside, by the times that they had.
    pub(crate) fn failed(&self, ids: &[DeploymentId], now: Timestamp) {
        let mut failing = self.failing();
        // Someone else has looked at it since, and not set it aside.
        failing.retain(|_, it| it.until + self.longest > now);
        for &id in ids {
            let times = before(&failing, id, now);
            let entry = Failing {
                times: times.saturating_add(1),
                until: now + self.after(times),
            };
            failing.insert(id, entry);
        }
    }

    /// Notes that some did not fail.
    pub(crate) fn done(&self, ids: &[DeploymentId]) {
        let mut failing = self.failing();
        if !failing.is_empty() {
            ids.iter().for_each(|id| {
                failing.remove(id);
            });
        }
    }

    /// How many this process has set aside for now.
    pub(crate) fn count(&self, now: Timestamp) -> usize {
        let failing = self.failing();
        failing.values().filter(|it| it.until > now).count()
    }

    fn after(&self, times: u32) -> Duration {
        let factor = 2_u32.saturating_pow(times);
        self.first.saturating_mul(factor).min(self.longest)
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<DeploymentId, Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often one failed before. Another worker that met it at the same time has
/// counted that already.
fn before(failing: &HashMap<DeploymentId, Failing>, id: DeploymentId, now: Timestamp) -> u32 {
    let times = |it: &Failing| it.times - u32::from(it.until > now);
    failing.get(&id).map_or(0, times)
}

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_time_doubles_up_to_the_longest_and_begins_anew_once_all_is_well() {
        let (aside, id, mut now) = start();
        for expected in [10, 20, 40, 60, 60] {
            assert_eq!(aside.time(id, now), secs(expected));
            aside.failed(&[id], now);
            assert_eq!(aside.count(now), 1);
            now = now + secs(expected);
            assert_eq!(aside.count(now), 0, "it is looked at again");
        }
        aside.done(&[id]);
        assert_eq!(aside.time(id, now), secs(10));
    }

    #[test]
    fn each_has_its_own() {
        let (aside, id, now) = start();
        aside.failed(&[id], now);
        assert_eq!(aside.time(DeploymentId(Uuid::max()), now), secs(10));
    }

    #[test]
    fn what_others_have_done_since_is_forgotten() {
        let (aside, id, now) = start();
        aside.failed(&[id], now);
        let soon = now + secs(10 + 59);
        aside.failed(&[], soon);
        assert_eq!(aside.time(id, soon), secs(20), "it may still be failing");
        let late = now + secs(10 + 60);
        aside.failed(&[], late);
        assert_eq!(aside.time(id, late), secs(10));
        assert!(aside.failing().is_empty());
    }

    #[test]
    fn no_number_of_times_is_too_large() {
        let (aside, id, now) = start();
        for minute in 0..100 {
            aside.failed(&[id], now + secs(60 * minute));
        }
        assert_eq!(aside.time(id, now + secs(60 * 100)), secs(60));
    }

    #[test]
    fn two_who_meet_it_at_once_count_once() {
        let (aside, id, now) = start();
        for _ in 0..2 {
            assert_eq!(aside.time(id, now), secs(10));
            aside.failed(&[id], now);
        }
        assert_eq!(aside.time(id, now + secs(10)), secs(20));
    }

    fn start() -> (SetAside, DeploymentId, Timestamp) {
        let aside = SetAside::new(secs(10), secs(60));
        (
            aside,
            DeploymentId(Uuid::nil()),
            Timestamp::from_micros(1_000_000),
        )
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }
}
