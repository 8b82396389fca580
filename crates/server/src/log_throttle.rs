//! Lines of the log that a peer can cause: a few of each kind, then one a second that says
//! how many were left out. Without it, a flood of refused calls is a flood of lines.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    sync::{LazyLock, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A line that may be logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AdmittedLine {
    /// How many of its kind were left out before it. None for none: that is no field.
    pub(crate) left_out: Option<u64>,
}

/// Admits one more line of this kind and about this subject, or counts it.
pub(crate) fn admit_line(kind: &'static str, subject: impl Hash) -> Option<AdmittedLine> {
    // All servers of a process log to the same place.
    static THROTTLE: LazyLock<LogThrottle> = LazyLock::new(LogThrottle::default);
    let key = THROTTLE.hasher.hash_one((kind, subject));
    THROTTLE.admit(key, Instant::now())
}

#[derive(Default)]
struct LogThrottle {
    budgets: Mutex<HashMap<u64, LineBudget>>,
    hasher: RandomState,
}

struct LineBudget {
    lines: u32,
    refilled_at: Instant,
    left_out: u64,
}

impl LogThrottle {
    fn admit(&self, key: u64, now: Instant) -> Option<AdmittedLine> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = key;
        if budgets.len() >= MAX_BUDGETS && !budgets.contains_key(&key) {
            // A budget that is full again is as good as none.
            budgets.retain(|_, budget| now.duration_since(budget.refilled_at) < FULL_AFTER);
            if budgets.len() >= MAX_BUDGETS {
                key = OF_ALL_OTHERS;
            }
        }
        let budget = budgets.entry(key).or_insert(LineBudget {
            lines: BURST,
            refilled_at: now,
            left_out: 0,
        });
        budget.admit(now)
    }
}

impl LineBudget {
    fn admit(&mut self, now: Instant) -> Option<AdmittedLine> {
        let seconds = now.duration_since(self.refilled_at).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.lines = self.lines.saturating_add(more).min(BURST);
            self.refilled_at = now;
        }
        if self.lines == 0 {
            self.left_out += 1;
            return None;
        }
        self.lines -= 1;
        let left_out = std::mem::take(&mut self.left_out);
        Some(AdmittedLine {
            left_out: (left_out > 0).then_some(left_out),
        })
    }
}

/// Lines at once. After that, one a second.
const BURST: u32 = 50;
const FULL_AFTER: Duration = Duration::from_secs(50);
const MAX_BUDGETS: usize = 1_000;
const OF_ALL_OTHERS: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g9_a_flood_is_a_few_lines_that_say_how_many_were_left_out() {
        let throttle = LogThrottle::default();
        let began = Instant::now();
        let admitted = (0..1_000).filter_map(|_| throttle.admit(7, began)).count();
        assert_eq!(admitted, 50);
        let first = Some(AdmittedLine { left_out: None });
        let other = throttle.admit(8, began);
        assert_eq!(other, first, "another subject has its own");
        let later = began + Duration::from_secs(1);
        assert_eq!(
            throttle.admit(7, later),
            Some(AdmittedLine {
                left_out: Some(950)
            })
        );
        assert_eq!(throttle.admit(7, later), None);
    }

    #[test]
    fn g9_subjects_beyond_a_bound_share_what_is_left() {
        let throttle = LogThrottle::default();
        let now = Instant::now();
        let admitted = (1..100_000)
            .filter_map(|key| throttle.admit(key, now))
            .count();
        assert_eq!(admitted, MAX_BUDGETS + 50);
        let kept = throttle.budgets.lock().expect("no panic").len();
        assert_eq!(kept, MAX_BUDGETS + 1);
        let much_later = now + 2 * FULL_AFTER;
        throttle.admit(200_000, much_later).expect("a new one");
        assert_eq!(throttle.budgets.lock().expect("no panic").len(), 1);
    }
}
