//! The flags of `viridian serve` for calls: sizes, counts, rates and deadlines.

use std::time::Duration;

use clap::Args;
use viridian_server::RpcLimits;

use crate::{
    byte_size::{self, ByteSize},
    duration,
};

/// The flags of `viridian serve` for calls.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct RpcLimitArgs {
    /// Largest message that a caller may send.
    ///
    /// A larger one fails with INVALID_ARGUMENT. A decoded message can need many
    /// times this memory, so raise it with care.
    #[arg(long, env = "VIRIDIAN_MAX_MESSAGE_SIZE", value_name = "SIZE", value_parser = byte_size::parse, default_value = "1MiB")]
    max_message_size: ByteSize,
    /// Largest header of a call. A larger one gets HTTP status 431.
    #[arg(long, env = "VIRIDIAN_MAX_HEADER_SIZE", value_name = "SIZE", value_parser = byte_size::parse, default_value = "16KiB")]
    max_header_size: ByteSize,
    /// Unary calls that run at the same time, over all callers.
    ///
    /// Further calls fail with RESOURCE_EXHAUSTED at once. Raise it only if the
    /// database keeps up.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_REQUESTS",
        value_name = "N",
        default_value_t = 1_024
    )]
    max_requests: u32,
    /// Streams that are open at the same time, over all callers.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_STREAMS",
        value_name = "N",
        default_value_t = 10_000
    )]
    max_streams: u32,
    /// Streams that one caller may have open at the same time.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_STREAMS_PER_CALLER",
        value_name = "N",
        default_value_t = 1_000
    )]
    max_streams_per_caller: u32,
    /// Calls that run at the same time on one connection. Further calls wait on the
    /// caller's side.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_CALLS_PER_CONNECTION",
        value_name = "N",
        default_value_t = 1_000
    )]
    max_calls_per_connection: u32,
    /// Connections that one address may have open at the same time.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value_t = 512
    )]
    max_connections_per_address: u32,
    /// Calls per second that one caller may start; 0 for no limit.
    ///
    /// Further calls fail with RESOURCE_EXHAUSTED. Callers behind one NAT or proxy
    /// count as one.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_RATE",
        value_name = "N",
        default_value_t = 10_000
    )]
    max_rate: u32,
    /// Calls that one caller may start at once before --max-rate applies.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_BURST",
        value_name = "N",
        default_value_t = 10_000
    )]
    max_burst: u32,
    /// How long a unary call may take. The caller's own deadline applies if it is
    /// earlier.
    #[arg(long, env = "VIRIDIAN_REQUEST_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    request_timeout: Duration,
    /// How long a connection may be silent before the server sends a ping.
    ///
    /// Lower it if a NAT or proxy in between drops idle connections sooner.
    #[arg(long, env = "VIRIDIAN_KEEPALIVE_INTERVAL", value_name = "DURATION", value_parser = duration::parse, default_value = "20s")]
    keepalive_interval: Duration,
    /// How long a caller may take to answer a ping. The server then closes the
    /// connection.
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
