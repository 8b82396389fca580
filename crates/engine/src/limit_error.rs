//! A setting that is out of its bounds.

use std::{fmt, ops::RangeInclusive, time::Duration};

use thiserror::Error;

/// A setting that is out of its bounds. Displays as what it must be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("must be {bounds}")]
pub struct LimitError {
    /// The flag that sets it, without its dashes: `max-requests` and so on.
    pub flag: &'static str,
    bounds: String,
}

impl LimitError {
    /// A setting that must be something else, in words.
    pub fn new(flag: &'static str, bounds: impl Into<String>) -> Self {
        let bounds = bounds.into();
        Self { flag, bounds }
    }

    /// Checks a number.
    ///
    /// # Errors
    ///
    /// When it is out of bounds.
    pub fn check_count(
        flag: &'static str,
        value: u32,
        bounds: RangeInclusive<u32>,
    ) -> Result<(), Self> {
        check(flag, &value, &bounds, u32::to_string)
    }

    /// Checks a duration.
    ///
    /// # Errors
    ///
    /// When it is out of bounds.
    pub fn check_duration(
        flag: &'static str,
        value: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Result<(), Self> {
        check(flag, &value, &bounds, |it| ShortDuration(*it).to_string())
    }
}

fn check<T: PartialOrd>(
    flag: &'static str,
    value: &T,
    bounds: &RangeInclusive<T>,
    display: impl Fn(&T) -> String,
) -> Result<(), LimitError> {
    if bounds.contains(value) {
        return Ok(());
    }
    let (least, most) = (display(bounds.start()), display(bounds.end()));
    Err(LimitError::new(flag, format!("{least} to {most}")))
}

/// A duration in the largest unit that leaves no rest, as flags take it.
struct ShortDuration(Duration);

impl fmt::Display for ShortDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if self.0.subsec_nanos() != 0 || seconds == 0 {
            return write!(f, "{}ms", self.0.as_millis());
        }
        let units = [(24 * 60 * 60, "d"), (60 * 60, "h"), (60, "m"), (1, "s")];
        let unit = units
            .into_iter()
            .find(|(unit, _)| seconds.is_multiple_of(*unit));
        let (unit, name) = unit.unwrap_or((1, "s"));
        write!(f, "{}{name}", seconds / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_within_its_bounds_is_no_error() {
        let second = Duration::from_secs(1);
        assert_eq!(LimitError::check_count("a", 3, 1..=3), Ok(()));
        assert_eq!(
            LimitError::check_duration("a", second, second..=second),
            Ok(())
        );
    }

    #[test]
    fn a_setting_out_of_its_bounds_says_what_it_must_be() {
        let error = LimitError::check_count("max-requests", 0, 1..=64).expect_err("too few");
        assert_eq!(error.flag, "max-requests");
        assert_eq!(error.to_string(), "must be 1 to 64");
        for (least, most, bounds) in [
            (10, 60_000, "10ms to 1m"),
            (1_000, 90_000, "1s to 90s"),
            (1_500, 7_200_000, "1500ms to 2h"),
            (3_600_000, 7 * 86_400_000, "1h to 7d"),
        ] {
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            let error = LimitError::check_duration("a", Duration::ZERO, range);
            let sentence = error.expect_err("too short").to_string();
            assert_eq!(sentence, format!("must be {bounds}"));
        }
    }
}
