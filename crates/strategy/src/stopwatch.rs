//! A clock that can be stopped.

use std::time::Duration;

use crate::Timestamp;

/// Measures time, except while it is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stopwatch {
    /// The time measured before it was last stopped.
    pub spent: Duration,
    /// When it was last started; None while it is stopped.
    pub since: Option<Timestamp>,
}

impl Stopwatch {
    /// Starts a new one, now.
    pub fn started(now: Timestamp) -> Self {
        Self {
            spent: Duration::ZERO,
            since: Some(now),
        }
    }

    /// The same, running.
    pub fn running(self, now: Timestamp) -> Self {
        Self {
            since: Some(self.since.unwrap_or(now)),
            ..self
        }
    }

    /// The same, stopped.
    pub fn stopped(self, now: Timestamp) -> Self {
        let more = self.since.map_or(Duration::ZERO, |since| now.since(since));
        Self {
            spent: self.spent.saturating_add(more),
            since: None,
        }
    }

    /// The same, started earlier.
    pub(crate) fn moved_back(self, by: Duration) -> Self {
        Self {
            since: self.since.map(|since| since - by),
            ..self
        }
    }

    /// When it will have measured `limit`; None while it is stopped.
    pub fn reaches(self, limit: Duration) -> Option<Timestamp> {
        // A limit below what is spent, as after an update of the policy, is reached already.
        Some(self.since? + limit.saturating_sub(self.spent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_counts_only_while_it_runs() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let watch = Stopwatch::started(at(0)).stopped(at(10)).running(at(100));
        assert_eq!(watch.reaches(Duration::from_secs(15)), Some(at(105)));
        assert_eq!(
            watch.stopped(at(101)).reaches(Duration::from_secs(15)),
            None
        );
        assert_eq!(watch.stopped(at(101)).spent, Duration::from_secs(11));
    }
}
