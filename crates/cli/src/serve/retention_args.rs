//! The flags of `viridian serve` for retention: how long old rows are kept.

use std::time::Duration;

use clap::Args;
use viridian_server::Retention;

use crate::duration::{self, DurationError};

/// The flags of `viridian serve` for retention.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Retention")]
pub(crate) struct RetentionArgs {
    /// How long events are kept, like 7d or 12h.
    ///
    /// A watch that was interrupted resumes from these events. A resume token that is
    /// older is refused, and the watch starts over.
    #[arg(long, env = "VIRIDIAN_RETAIN_EVENTS", value_name = "AGE", value_parser = parse_age, default_value = "7d")]
    retain_events: Duration,
    /// How long history is kept. The newest 1,000 entries of each deployment always
    /// stay.
    #[arg(long, env = "VIRIDIAN_RETAIN_HISTORY", value_name = "AGE", value_parser = parse_age, default_value = "90d")]
    retain_history: Duration,
    /// How long ended routes are kept, and revisions beyond the history limit of
    /// their deployment.
    #[arg(long, env = "VIRIDIAN_RETAIN_ROUTES", value_name = "AGE", value_parser = parse_age, default_value = "24h")]
    retain_routes: Duration,
    /// How long destroyed deployments are kept. Their names are free at once.
    #[arg(long, env = "VIRIDIAN_RETAIN_DEPLOYMENTS", value_name = "AGE", value_parser = parse_age, default_value = "30d")]
    retain_deployments: Duration,
}

impl From<RetentionArgs> for Retention {
    fn from(args: RetentionArgs) -> Self {
        Self {
            events: args.retain_events,
            history: args.retain_history,
            routes: args.retain_routes,
            deployments: args.retain_deployments,
        }
    }
}

/// Reads an age: a duration, or a number of days (`7d`).
fn parse_age(text: &str) -> Result<Duration, DurationError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    match days {
        // An absurd number of days becomes the longest duration,
        // and the check of the bounds refuses that.
        Some(days) => Ok(Duration::from_secs(SECONDS_PER_DAY).saturating_mul(days)),
        None => duration::parse(text),
    }
}

const SECONDS_PER_DAY: u64 = 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        retention: RetentionArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        let flags = Flags::try_parse_from(["serve"]).expect("no flag is needed");
        assert_eq!(Retention::from(flags.retention), Retention::default());
    }

    #[test]
    fn ages_are_in_days_or_as_other_durations() {
        assert_eq!(parse_age("2d"), parse_age("48h"));
        assert_eq!(parse_age("90m"), Ok(Duration::from_secs(90 * 60)));
        assert_eq!(parse_age("-1d"), Err(DurationError::Malformed));
        assert_eq!(parse_age("d"), Err(DurationError::Malformed));
    }
}
