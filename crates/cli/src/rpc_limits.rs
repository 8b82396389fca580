//! How much the server takes on.

use std::time::Duration;

use clap::Args;
use viridian_server::RpcLimits;

use crate::{
    duration,
    size::{self, Size},
};

/// The flags of `viridian serve` about it.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct RpcLimitArgs {
    /// The largest message a caller may send.
    #[arg(long, env = "VIRIDIAN_MAX_MESSAGE_SIZE", value_name = "SIZE", value_parser = size::parse, default_value = "1MiB")]
    max_message_size: Size,
    /// The largest header of a call.
    #[arg(long, env = "VIRIDIAN_MAX_HEADER_SIZE", value_name = "SIZE", value_parser = size::parse, default_value = "16KiB")]
    max_header_size: Size,
    /// Calls under way at once, those that stream aside.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_REQUESTS",
        value_name = "N",
        default_value_t = 1_024
    )]
    max_requests: u32,
    /// Streams open at once.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_STREAMS",
        value_name = "N",
        default_value_t = 10_000
    )]
    max_streams: u32,
    /// Streams that one caller has open at once.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_STREAMS_PER_CALLER",
        value_name = "N",
        default_value_t = 1_000
    )]
    max_streams_per_caller: u32,
    /// Calls under way at once on one connection; further ones wait at the
    /// caller's end.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_CALLS_PER_CONNECTION",
        value_name = "N",
        default_value_t = 1_000
    )]
    max_calls_per_connection: u32,
    /// Connections that one address has open at once.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value_t = 512
    )]
    max_connections_per_address: u32,
    /// Calls that one caller may begin in a second; 0 for as many as it likes.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_RATE",
        value_name = "N",
        default_value_t = 10_000
    )]
    max_rate: u32,
    /// Calls that one caller may begin at once after it was quiet.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_BURST",
        value_name = "N",
        default_value_t = 10_000
    )]
    max_burst: u32,
    /// How long a call may take that does not stream.
    #[arg(long, env = "VIRIDIAN_REQUEST_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    request_timeout: Duration,
    /// After how long without a word a caller is asked whether it is there.
    #[arg(long, env = "VIRIDIAN_KEEPALIVE_INTERVAL", value_name = "DURATION", value_parser = duration::parse, default_value = "20s")]
    keepalive_interval: Duration,
    /// How long it may take to say so.
    #[arg(long, env = "VIRIDIAN_KEEPALIVE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "20s")]
    keepalive_timeout: Duration,
}

impl From<RpcLimitArgs> for RpcLimits {
    fn from(args: RpcLimitArgs) -> Self {
        Self {
            message_size: args.max_message_size.bytes(),
            header_size: args.max_header_size.bytes(),
            requests: args.max_requests,
            streams: args.max_streams,
            streams_per_caller: args.max_streams_per_caller,
            calls_per_connection: args.max_calls_per_connection,
            connections_per_address: args.max_connections_per_address,
            rate: args.max_rate,
            burst: args.max_burst,
            request_timeout: args.request_timeout,
            keepalive_interval: args.keepalive_interval,
            keepalive_timeout: args.keepalive_timeout,
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
        rpc_limits: RpcLimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let flags = Flags::try_parse_from(["serve"]).expect("no flag is needed");
        assert_eq!(RpcLimits::from(flags.rpc_limits), RpcLimits::default());
    }
}
