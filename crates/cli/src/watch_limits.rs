//! How much the server keeps for a watch whose consumer is slow.

use std::time::Duration;

use clap::{Args, value_parser};
use viridian_server::WatchLimits;

use crate::duration;

/// The flags of `viridian serve` about it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct WatchLimitArgs {
    /// How many events are kept for a watch that has yet to take them.
    #[arg(
        long,
        env = "VIRIDIAN_WATCH_BUFFER",
        value_name = "EVENTS",
        value_parser = value_parser!(u16).range(1..),
        default_value = "256"
    )]
    watch_buffer: u16,
    /// How long a consumer may take nothing once there are more: then its watch
    /// is ended with RESOURCE_EXHAUSTED, and can be resumed.
    #[arg(long, env = "VIRIDIAN_WATCH_PATIENCE", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    watch_patience: Duration,
}

impl From<WatchLimitArgs> for WatchLimits {
    fn from(args: WatchLimitArgs) -> Self {
        Self {
            buffer: args.watch_buffer.into(),
            patience: args.watch_patience,
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
        limits: WatchLimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let flags = Flags::try_parse_from(["serve"]).expect("no flag is needed");
        assert_eq!(WatchLimits::from(flags.limits), WatchLimits::default());
    }

    #[test]
    fn there_is_always_some_room() {
        assert!(Flags::try_parse_from(["serve", "--watch-buffer", "0"]).is_err());
    }
}
