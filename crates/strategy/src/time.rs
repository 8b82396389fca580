//! A point in time, to the microsecond: as precise as both engines store it.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// In microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The time from `earlier` to this; zero if `earlier` is the later one.
    pub fn since(self, earlier: Timestamp) -> Duration {
        // A clock may be set back: never a negative duration.
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0).unsigned_abs())
    }

    /// The date and time in UTC, for a sentence: `2026-11-30 14:02:11 UTC`. Always with
    /// the date: a sentence is also read on another day, and a gate may be open for weeks.
    pub fn date_and_time(self) -> impl fmt::Display {
        fmt::from_fn(move |f| match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{}", time.strftime("%F %T UTC")),
            Err(_) => write!(f, "{}us", self.0),
        })
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, duration: Duration) -> Timestamp {
        // Saturates: what is beyond the range never comes.
        Timestamp(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(micros(duration)))
    }
}

impl fmt::Display for Timestamp {
    /// As RFC 3339, in UTC, with six digits after the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{}us", self.0),
        }
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_leads_there_and_back() {
        let (early, late) = (Timestamp::from_micros(-1), Timestamp::from_micros(2));
        let between = Duration::from_micros(3);
        assert_eq!(early + between, late);
        assert_eq!(late - between, early);
        assert_eq!(late.since(early), between);
        assert_eq!(early.since(late), Duration::ZERO);
    }

    #[test]
    fn c6_a_sentence_has_the_date_and_the_zone() {
        let time = Timestamp::from_micros(1_700_000_000_123_456);
        let in_30_days = time + Duration::from_secs(30 * 86_400);
        assert_eq!(time.date_and_time().to_string(), "2023-11-14 22:13:20 UTC");
        assert_eq!(
            in_30_days.date_and_time().to_string(),
            "2023-12-14 22:13:20 UTC"
        );
        // Beyond what a calendar has: still a text, and no panic.
        let never = Timestamp::from_micros(i64::MAX);
        assert!(never.date_and_time().to_string().ends_with("us"));
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123456Z");
    }
}
