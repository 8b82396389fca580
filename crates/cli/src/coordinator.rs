//! How the server works on what is due.

use std::time::Duration;

use clap::Args;
use viridian_server::CoordinatorLimits;

use crate::duration;

/// The flags of `viridian serve` about it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct CoordinatorArgs {
    /// How many take batches of what is due side by side, when one batch is not
    /// enough [default: 1 on SQLite, 2 on PostgreSQL].
    #[arg(long, env = "VIRIDIAN_COORDINATOR_WORKERS", value_name = "COUNT")]
    coordinator_workers: Option<u32>,
    /// How many deployments a batch has. Calls of those in it wait for it.
    #[arg(
        long,
        env = "VIRIDIAN_COORDINATOR_BATCH",
        value_name = "COUNT",
        default_value_t = 200
    )]
    coordinator_batch: u32,
    /// How often to look for what is due though nothing was heard of it: what
    /// another server committed while none could be heard waits for so long.
    #[arg(long, env = "VIRIDIAN_COORDINATOR_POLL", value_name = "DURATION", value_parser = duration::parse, default_value = "1s")]
    coordinator_poll: Duration,
    /// For how long a deployment is set aside that fails, so that it delays no
    /// other; twice as long each time that it fails again.
    #[arg(long, env = "VIRIDIAN_COORDINATOR_SET_ASIDE", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    coordinator_set_aside: Duration,
    /// For how long at most.
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
