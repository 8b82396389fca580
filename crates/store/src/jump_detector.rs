//! Notices that a clock was set, by what has passed on a clock that cannot be set.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use viridian_strategy::Timestamp;

/// Compares readings of a clock with the monotonic one of this process.
#[derive(Debug)]
pub(crate) struct JumpDetector {
    begun: Instant,
    /// None until the first reading.
    expected: Mutex<Option<ClockOffset>>,
}

/// What this process knows of how the clock was set.
#[derive(Debug)]
pub(crate) struct ClockJumps {
    pub(crate) detector: JumpDetector,
    /// The correction that this process read or wrote last.
    correction: Mutex<Option<i64>>,
}

impl ClockJumps {
    pub(crate) fn new() -> Self {
        Self {
            detector: JumpDetector::new(),
            correction: Mutex::new(None),
        }
    }

    /// Returns the correction that was known before this one was read.
    pub(crate) fn known_correction(&self, found: i64) -> i64 {
        let mut known = self
            .correction
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.replace(found).unwrap_or(0)
    }

    pub(crate) fn set_correction(&self, correction: i64) {
        let mut known = self
            .correction
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *known = Some(correction);
    }
}

/// By how much the clock is ahead of the monotonic one, in microseconds. It was read at some
/// moment between the question and the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClockOffset {
    least: i64,
    most: i64,
}

impl JumpDetector {
    pub(crate) fn new() -> Self {
        Self {
            begun: Instant::now(),
            expected: Mutex::new(None),
        }
    }

    /// Returns by how many microseconds the clock was set since the last reading, if it was:
    /// more than 0 if forward. The same until it is set back, or [`accept`](Self::accept)ed.
    pub(crate) fn observe(
        &self,
        reading: Timestamp,
        asked: Instant,
        answered: Instant,
    ) -> Option<i64> {
        // The reading was made at some moment between the question and the answer.
        let found = ClockOffset {
            least: reading.as_micros() - self.monotonic(answered),
            most: reading.as_micros() - self.monotonic(asked),
        };
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = *expected else {
            *expected = Some(found);
            return None;
        };
        // An answer that took long says little, and never that the clock was set.
        let gap = (found.least - known.most).max(0) + (found.most - known.least).min(0);
        if gap.unsigned_abs() >= micros(MIN_JUMP).unsigned_abs() {
            return Some(found.middle() - known.middle());
        }
        // Clocks drift apart, so what is known from earlier counts a little less each time.
        let drift = micros(MAX_DRIFT);
        *expected = Some(match gap {
            // Both hold: what they have in common is known more exactly than either.
            0 => ClockOffset {
                least: found.least.max(known.least - drift),
                most: found.most.min(known.most + drift),
            },
            _ => found,
        });
        None
    }

    /// Takes the clock as it is: its next reading is compared with nothing.
    pub(crate) fn accept(&self) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn monotonic(&self, at: Instant) -> i64 {
        micros(at.saturating_duration_since(self.begun))
    }
}

impl ClockOffset {
    fn middle(self) -> i64 {
        self.least + (self.most - self.least) / 2
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Less than this is how clocks are kept right all the time.
pub(crate) const MIN_JUMP: Duration = Duration::from_secs(2);

/// Between two readings.
const MAX_DRIFT: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    /// Readings of a clock: after how many seconds it was asked and answered, and what it said.
    fn jumps(readings: &[(u64, u64, i64)]) -> Vec<Option<i64>> {
        let detector = JumpDetector::new();
        let at = |seconds| detector.begun + Duration::from_secs(seconds);
        let observe = |&(asked, answered, said): &(u64, u64, i64)| {
            let jump = detector.observe(
                Timestamp::from_micros(said * 1_000_000),
                at(asked),
                at(answered),
            );
            jump.map(|micros| micros / 1_000_000)
        };
        readings.iter().map(observe).collect()
    }

    #[test]
    fn g13_a_clock_that_was_set_is_told_from_one_that_went_on() {
        assert_eq!(jumps(&[(0, 0, 100), (5, 5, 105), (9, 9, 110)]), [None; 3]);
        let forward = jumps(&[(0, 0, 100), (5, 5, 3_705), (6, 6, 3_706), (7, 7, 107)]);
        assert_eq!(forward, [None, Some(3_600), Some(3_600), None]);
        assert_eq!(jumps(&[(0, 0, 100), (1, 1, 41)]), [None, Some(-60)]);
    }

    #[test]
    fn g13_an_answer_that_took_long_is_no_jump() {
        // Read at once and delivered late, or asked early and read late.
        assert_eq!(
            jumps(&[(0, 0, 100), (1, 60, 101), (60, 60, 160)]),
            [None; 3]
        );
        assert_eq!(
            jumps(&[(0, 0, 100), (1, 60, 160), (60, 60, 160)]),
            [None; 3]
        );
        assert_eq!(
            jumps(&[(0, 30, 100), (31, 31, 101), (32, 32, 132)])[1],
            None
        );
    }

    #[test]
    fn g13_what_was_accepted_is_what_is_expected() {
        let detector = JumpDetector::new();
        let now = detector.begun;
        let observe = |micros| detector.observe(Timestamp::from_micros(micros), now, now);
        assert_eq!(observe(0), None);
        assert_eq!(observe(60_000_000), Some(60_000_000));
        detector.accept();
        assert_eq!(observe(60_000_000), None);
        assert_eq!(observe(0), Some(-60_000_000));
    }
}
