//! Durations as people type them: `30s`, `5m`, `1h 30m`.

use std::time::Duration;

use jiff::SignedDuration;

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DurationError {
    #[error("expected a duration like 30s, 5m or 1h30m")]
    Malformed,
    #[error("a duration cannot be negative")]
    Negative,
}

/// Reads a duration of zero or more.
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let signed: SignedDuration = text.parse().map_err(|_| DurationError::Malformed)?;
    Duration::try_from(signed).map_err(|_| DurationError::Negative)
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
    let signed = duration.and_then(|it| SignedDuration::try_from(it).ok());
    signed.map_or_else(|| "out of range".to_owned(), |it| format!("{it:#}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{DurationError, from_wire, parse, to_text, to_wire};

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
        for text in ["", "soon", "5", "m5"] {
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
            "1m 30s 500ms"
        );
    }
}
