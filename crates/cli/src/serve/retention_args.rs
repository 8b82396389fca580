//! The flags of `viridian serve` for retention: how long old rows are kept.

use std::time::Duration;

use clap::Args;
use viridian_server::Retention;

use crate::duration;

/// The flags of `viridian serve` for retention.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Retention")]
pub(crate) struct RetentionArgs {
    /// How long events are kept, like 7d or 12h.
    ///
    /// A watch that was interrupted resumes from these events. A resume token that is
    /// older is refused, and the watch starts over.
    #[arg(long, env = "VIRIDIAN_RETAIN_EVENTS", value_name = "AGE", value_parser = duration::parse, default_value = "7d")]
    retain_events: Duration,
    /// How long history is kept. The newest 1,000 entries of each deployment always
    /// stay.
    #[arg(long, env = "VIRIDIAN_RETAIN_HISTORY", value_name = "AGE", value_parser = duration::parse, default_value = "90d")]
    retain_history: Duration,
    /// How long ended routes are kept, and revisions beyond the history limit of
    /// their deployment.
    #[arg(long, env = "VIRIDIAN_RETAIN_ROUTES", value_name = "AGE", value_parser = duration::parse, default_value = "24h")]
    retain_routes: Duration,
    /// How long destroyed deployments are kept. Their names are free at once.
    #[arg(long, env = "VIRIDIAN_RETAIN_DEPLOYMENTS", value_name = "AGE", value_parser = duration::parse, default_value = "30d")]
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
        for (text, seconds) in [("2d", 172_800), ("1w", 604_800), ("90m", 5_400)] {
            let flags = Flags::try_parse_from(["serve", "--retain-events", text]);
            let retention = Retention::from(flags.expect(text).retention);
            assert_eq!(retention.events, Duration::from_secs(seconds), "{text}");
        }
        for text in ["-1d", "d"] {
            let flags = Flags::try_parse_from(["serve", "--retain-events", text]);
            assert!(flags.is_err(), "{text}");
        }
    }
}
