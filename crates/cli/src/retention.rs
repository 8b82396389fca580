//! For how long the server keeps what nothing depends on.

use std::time::Duration;

use clap::Args;
use viridian_server::Retention;

use crate::duration::{self, DurationError};

/// The flags of `viridian serve` about it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct RetentionArgs {
    /// How long events are kept, by which watches resume.
    #[arg(long, env = "VIRIDIAN_RETAIN_EVENTS", value_name = "AGE", value_parser = parse, default_value = "7d")]
    retain_events: Duration,
    /// How long history is kept. The newest 1,000 moves of each deployment stay.
    #[arg(long, env = "VIRIDIAN_RETAIN_HISTORY", value_name = "AGE", value_parser = parse, default_value = "90d")]
    retain_history: Duration,
    /// How long routes are kept that are over, and with them revisions beyond
    /// their deployment's limit.
    #[arg(long, env = "VIRIDIAN_RETAIN_ROUTES", value_name = "AGE", value_parser = parse, default_value = "24h")]
    retain_routes: Duration,
    /// How long destroyed deployments are kept.
    #[arg(long, env = "VIRIDIAN_RETAIN_DEPLOYMENTS", value_name = "AGE", value_parser = parse, default_value = "30d")]
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

/// An age: a duration, or so many days.
fn parse(text: &str) -> Result<Duration, DurationError> {
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    match days {
        Some(days) => Ok(Duration::from_secs(DAY).saturating_mul(days)),
        None => duration::parse(text),
    }
}

const DAY: u64 = 24 * 60 * 60;

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
        assert_eq!(parse("2d"), parse("48h"));
        assert_eq!(parse("90m"), Ok(Duration::from_secs(90 * 60)));
        assert_eq!(parse("-1d"), Err(DurationError::Malformed));
        assert_eq!(parse("d"), Err(DurationError::Malformed));
    }
}
