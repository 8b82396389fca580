//! Ages and countdowns.

use jiff::Timestamp;

/// The time since a moment, in its two largest units: `45s`, `3m20s`, `5h`.
pub(crate) fn since(at: &prost_types::Timestamp, now: Timestamp) -> String {
    timestamp(at).map_or_else(
        || "?".to_owned(),
        |at| age(now.as_second() - at.as_second()),
    )
}

/// The time until a moment, or `now` if it has passed.
pub(crate) fn countdown(at: &prost_types::Timestamp, now: Timestamp) -> String {
    match timestamp(at).map(|at| at.as_second() - now.as_second()) {
        Some(left) if left > 0 => age(left),
        Some(_) => "now".to_owned(),
        None => "?".to_owned(),
    }
}

/// A number of seconds as text. Negative ones count as zero: clocks differ a little.
pub(crate) fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (large, small) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => ((60, "m"), (1, "s")),
        3_600..86_400 => ((3_600, "h"), (60, "m")),
        _ => ((86_400, "d"), (3_600, "h")),
    };
    let rest = seconds % large.0 / small.0;
    let tail = match rest {
        0 => String::new(),
        _ => format!("{rest}{}", small.1),
    };
    format!("{}{}{tail}", seconds / large.0, large.1)
}

/// A timestamp of the wire, if it is in range.
fn timestamp(at: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(at.seconds, at.nanos).ok()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{age, countdown, since};

    #[test]
    fn an_age_has_its_two_largest_units() {
        for (seconds, text) in [
            (-3, "0s"),
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (200, "3m20s"),
            (3_600, "1h"),
            (3_700, "1h1m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn a_moment_in_the_past_is_now() {
        let now = Timestamp::from_second(100).expect("a moment");
        let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
        assert_eq!(countdown(&at(170), now), "1m10s");
        assert_eq!(countdown(&at(99), now), "now");
        assert_eq!(since(&at(40), now), "1m");
        assert_eq!(since(&at(i64::MAX), now), "?");
    }
}
