//! Durations as people type them: `30s`, `5m`, `1h30m`, `2d`, `1w`.

use std::{fmt::Write as _, time::Duration};

use jiff::{Span, SpanRelativeTo};

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    #[error("expected a duration like 30s, 5m, 1h30m, 2d or 1w")]
    Malformed,
    #[error("a duration cannot be negative")]
    Negative,
}

/// Reads a duration of zero or more, up to some 20,000 years. A day has 24 hours, a week seven
/// days; months and years have no fixed length, and are refused.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let span: Span = text.parse().map_err(|_| DurationError::Malformed)?;
    let signed = span.to_duration(SpanRelativeTo::days_are_24_hours());
    let signed = signed.map_err(|_| DurationError::Malformed)?;
    let duration = Duration::try_from(signed).map_err(|_| DurationError::Negative)?;
    // Each unit has a bound of its own. A longer one could be read as minutes, and not as days.
    match duration <= LONGEST {
        true => Ok(duration),
        false => Err(DurationError::Malformed),
    }
}

/// A duration for the wire. One that does not fit becomes the longest that does, which
/// the server refuses.
pub(crate) fn to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or(prost_types::Duration {
        seconds: i64::MAX,
        nanos: 0,
    })
}

/// A duration in the form of protobuf JSON (`90s`), which [`parse`] reads too.
pub(crate) fn to_text(duration: Duration) -> String {
    let nanos = format!("{:09}", duration.subsec_nanos());
    match nanos.trim_end_matches('0') {
        "" => format!("{}s", duration.as_secs()),
        fraction => format!("{}.{fraction}s", duration.as_secs()),
    }
}

/// A duration of the wire, for people to read.
pub(crate) fn from_wire(duration: &prost_types::Duration) -> String {
    let duration = Duration::try_from(*duration).ok();
    duration.map_or_else(|| "out of range".to_owned(), to_words)
}

/// A duration for people to read: `1h30m`, `2d`, `1w`. [`parse`] reads it too.
pub(crate) fn to_words(duration: Duration) -> String {
    let mut rest = duration.as_secs();
    let mut text = String::new();
    let mut take = |seconds: u64, unit: &str| {
        if rest >= seconds {
            // Writing to a String cannot fail.
            let _ = write!(text, "{}{unit}", rest / seconds);
            rest %= seconds;
        }
    };
    // Whole weeks only: `30d` says more than `4w2d`.
    if duration.as_secs().is_multiple_of(WEEK) {
        take(WEEK, "w");
    }
    take(DAY, "d");
    take(HOUR, "h");
    take(MINUTE, "m");
    take(1, "s");
    let nanos = duration.subsec_nanos();
    for (size, unit) in [(1_000_000, "ms"), (1_000, "us"), (1, "ns")] {
        let count = nanos / size % 1_000;
        if count > 0 {
            let _ = write!(text, "{count}{unit}");
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// In seconds, as the constants below.
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// As many days as a span may have.
const LONGEST: Duration = Duration::from_secs(7_304_484 * DAY);

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DurationError, from_wire, parse, to_text, to_wire, to_words};

    #[test]
    fn reads_what_people_type() {
        for (text, milliseconds) in [
            ("0s", 0),
            ("200ms", 200),
            ("1.5s", 1_500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w", 604_800_000),
            ("1w2d12h", 820_800_000),
            ("1 day", 86_400_000),
        ] {
            assert_eq!(
                parse(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_other_texts() {
        for text in [
            "",
            "soon",
            "5",
            "m5",
            "1mo",
            "1y",
            "9999999999w",
            "12313212313m",
        ] {
            assert_eq!(parse(text), Err(DurationError::Malformed), "{text}");
        }
        assert_eq!(parse("-5s"), Err(DurationError::Negative));
    }

    #[test]
    fn the_text_reads_back() {
        for (milliseconds, text) in [(90_000, "90s"), (1_050, "1.05s"), (0, "0s")] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(to_text(duration), text);
            assert_eq!(parse(text), Ok(duration));
        }
    }

    #[test]
    fn the_wire_form_reads_back() {
        assert_eq!(
            from_wire(&to_wire(Duration::from_millis(90_500))),
            "1m30s500ms"
        );
    }

    #[test]
    fn c6_days_and_weeks_are_shown_and_read_back() {
        for (seconds, text) in [
            (0, "0s"),
            (45, "45s"),
            (5_400, "1h30m"),
            (86_400, "1d"),
            (604_800, "1w"),
            (691_200, "8d"),
            (2_592_000, "30d"),
            (90_061, "1d1h1m1s"),
        ] {
            let duration = Duration::from_secs(seconds);
            assert_eq!(to_words(duration), text);
            assert_eq!(parse(text), Ok(duration), "{text}");
        }
        let fine = Duration::new(1, 2_003_004);
        assert_eq!(to_words(fine), "1s2ms3us4ns");
        assert_eq!(parse(&to_words(fine)), Ok(fine));
    }
}
