//! Times and durations.

use std::time::Duration;

use viridian_strategy::{MAX_DURATION, Timestamp};

use super::Violations;

/// A time, to the wire.
pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    prost_types::Timestamp {
        // Rounded down and not towards zero: `nanos` must not be negative, even before 1970.
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0),
    }
}

/// A time from the wire, in whole microseconds; none when it is not set. What is
/// beyond the range of a [`Timestamp`] is its end.
pub(crate) fn parse_timestamp(
    field: &str,
    wire: Option<&prost_types::Timestamp>,
    violations: &mut Violations,
) -> Option<Timestamp> {
    let wire = wire?;
    let nanos = i64::from(wire.nanos);
    violations.check(
        (0..1_000_000_000).contains(&nanos),
        field,
        "must have 0 to 999999999 nanos",
    );
    // Only the sum is clamped: the first time of all has seconds that are too few without nanos.
    let micros = i128::from(wire.seconds) * 1_000_000 + i128::from(nanos / 1_000);
    let micros = micros.clamp(i64::MIN.into(), i64::MAX.into());
    let micros = i64::try_from(micros).unwrap_or_default();
    Some(Timestamp::from_micros(micros))
}

/// A duration, to the wire.
pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

/// A duration from the wire: 0 to 30 days, in whole microseconds; `default` when
/// it is not set.
pub(crate) fn parse_duration(
    field: &str,
    wire: Option<&prost_types::Duration>,
    default: Duration,
    violations: &mut Violations,
) -> Duration {
    let Some(wire) = wire else { return default };
    let seconds = u64::try_from(wire.seconds);
    let nanos = u32::try_from(wire.nanos)
        .ok()
        .filter(|nanos| *nanos < 1_000_000_000);
    let parsed = match (seconds, nanos) {
        (Ok(seconds), Some(nanos)) => Duration::new(seconds, nanos / 1_000 * 1_000),
        // A negative one is out of bounds as well: one sentence covers both.
        _ => Duration::MAX,
    };
    violations.check(parsed <= MAX_DURATION, field, "must be 0 s to 30 days");
    // Within the bounds even when refused, or rules about several
    // settings would add violations of what is wrong once.
    parsed.min(MAX_DURATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_was_written() {
        for micros in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX] {
            let time = Timestamp::from_micros(micros);
            let mut violations = Violations::default();
            let read = parse_timestamp("field", Some(&timestamp(time)), &mut violations);
            assert_eq!(read, Some(time), "{micros}");
            violations.finish().expect("it is well-formed");
        }
    }
}
