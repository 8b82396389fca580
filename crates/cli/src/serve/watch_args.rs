//! The flags of `viridian serve` for watches with slow consumers.

use std::time::Duration;

use clap::{Args, value_parser};
use viridian_server::WatchLimits;

use crate::duration;

/// The flags of `viridian serve` for watches.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Watches")]
pub(crate) struct WatchArgs {
    /// Events buffered for one watch that reads too slowly.
    ///
    /// A larger buffer lets a consumer pause longer, and costs memory for each watch.
    #[arg(
        long,
        env = "VIRIDIAN_WATCH_BUFFER",
        value_name = "EVENTS",
        value_parser = value_parser!(u16).range(1..),
        default_value = "256"
    )]
    watch_buffer: u16,
    /// How long the buffer of a watch may stay full.
    ///
    /// The server then ends the watch with RESOURCE_EXHAUSTED. The consumer can
    /// resume it with its last token.
    #[arg(long, env = "VIRIDIAN_WATCH_PATIENCE", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    watch_patience: Duration,
}

impl From<WatchArgs> for WatchLimits {
    fn from(args: WatchArgs) -> Self {
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
        limits: WatchArgs,
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
