//! The flags of `viridian serve` for the coordinator, which works on due deployments.

use std::time::Duration;

use clap::Args;
use viridian_server::CoordinatorLimits;

use crate::duration;

/// The flags of `viridian serve` for the coordinator.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Coordinator")]
pub(crate) struct CoordinatorArgs {
    /// Workers that evaluate batches of due deployments at the same time [default: 1
    /// on SQLite, 2 on PostgreSQL].
    ///
    /// More than one worker runs only when one batch does not hold all due
    /// deployments. Raise it when `viridian_due_queue_lag_seconds` stays high and
    /// the database has CPU to spare.
    #[arg(long, env = "VIRIDIAN_COORDINATOR_WORKERS", value_name = "COUNT")]
    coordinator_workers: Option<u32>,
    /// Deployments in one batch.
    ///
    /// One transaction evaluates the whole batch, and calls for these deployments
    /// wait until it ends. Lower it if such calls wait too long; raise it for a fleet
    /// of many thousand deployments.
    #[arg(
        long,
        env = "VIRIDIAN_COORDINATOR_BATCH",
        value_name = "COUNT",
        default_value_t = 200
    )]
    coordinator_batch: u32,
    /// How often to look for due deployments when no notification arrives.
    ///
    /// A notification normally wakes the coordinator at once. The poll finds what
    /// another server committed while the notification connection was down.
    #[arg(long, env = "VIRIDIAN_COORDINATOR_POLL", value_name = "DURATION", value_parser = duration::parse, default_value = "1s")]
    coordinator_poll: Duration,
    /// First pause before a deployment that fails to evaluate is tried again.
    ///
    /// The pause doubles with each further failure, up to
    /// --coordinator-set-aside-longest. Other deployments are not delayed.
    #[arg(long, env = "VIRIDIAN_COORDINATOR_SET_ASIDE", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    coordinator_set_aside: Duration,
    /// Longest pause before a deployment that keeps failing is tried again.
    #[arg(long, env = "VIRIDIAN_COORDINATOR_SET_ASIDE_LONGEST", value_name = "DURATION", value_parser = duration::parse, default_value = "5m")]
    coordinator_set_aside_longest: Duration,
}

impl From<CoordinatorArgs> for CoordinatorLimits {
    fn from(args: CoordinatorArgs) -> Self {
        Self {
            workers: args.coordinator_workers,
            batch: args.coordinator_batch,
            poll: args.coordinator_poll,
            set_aside: args.coordinator_set_aside,
            set_aside_longest: args.coordinator_set_aside_longest,
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
        coordinator: CoordinatorArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let flags = Flags::try_parse_from(["serve"]).expect("no flag is needed");
        assert_eq!(
            CoordinatorLimits::from(flags.coordinator),
            CoordinatorLimits::default()
        );
    }
}
