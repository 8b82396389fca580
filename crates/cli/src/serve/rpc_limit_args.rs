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
    /// Unary calls of one caller that are under way at the same time.
    ///
    /// They count from their arrival, so that a caller whose messages do not come takes
    /// no room of others.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_REQUESTS_PER_CALLER",
        value_name = "N",
        default_value_t = 512
    )]
    max_requests_per_caller: u32,
    /// Memory for the requests that are under way: their headers, their messages, and
    /// 16 KiB for each.
    #[arg(long, env = "VIRIDIAN_MAX_REQUEST_MEMORY", value_name = "SIZE", value_parser = byte_size::parse, default_value = "64MiB")]
    max_request_memory: ByteSize,
    /// Memory for the requests of one caller that are under way.
    #[arg(long, env = "VIRIDIAN_MAX_REQUEST_MEMORY_PER_CALLER", value_name = "SIZE", value_parser = byte_size::parse, default_value = "16MiB")]
    max_request_memory_per_caller: ByteSize,
    /// How long the message of a call may take to come.
    ///
    /// Raise it for clients with slow uplinks.
    #[arg(long, env = "VIRIDIAN_MESSAGE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    message_timeout: Duration,
    /// Health checks and reflections that run at the same time, over all addresses.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_PROBES",
        value_name = "N",
        default_value_t = 512
    )]
    max_probes: u32,
    /// Health checks and reflections of one address that run at the same time.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_PROBES_PER_ADDRESS",
        value_name = "N",
        default_value_t = 64
    )]
    max_probes_per_address: u32,
    /// Watches of the health service that are open at the same time, over all addresses.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_HEALTH_WATCHES",
        value_name = "N",
        default_value_t = 1_024
    )]
    max_health_watches: u32,
    /// Watches of the health service that one address may have open at the same time.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_HEALTH_WATCHES_PER_ADDRESS",
        value_name = "N",
        default_value_t = 128
    )]
    max_health_watches_per_address: u32,
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
    /// caller's side. A fifth of them cannot be streams.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_CALLS_PER_CONNECTION",
        value_name = "N",
        default_value_t = 1_280
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
    /// Connections that are open at the same time, over all addresses.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 4_096
    )]
    max_connections: u32,
    /// Connections of one address that have not sent their first frame yet.
    ///
    /// A further one takes the place of the oldest. Raise it if thousands of clients
    /// that share one address connect at the same time.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_HANDSHAKES_PER_ADDRESS",
        value_name = "N",
        default_value_t = 64
    )]
    max_handshakes_per_address: u32,
    /// How long a connection may take until its first frame: the TLS handshake and the
    /// HTTP/2 preface.
    #[arg(long, env = "VIRIDIAN_HANDSHAKE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    handshake_timeout: Duration,
    /// How old a connection may become, give or take a tenth; 0s for any age.
    ///
    /// The server then asks the client to connect again (GOAWAY). Set it if several
    /// servers share a load balancer that distributes connections: without it, clients
    /// stay where they are when a server comes back.
    #[arg(long, env = "VIRIDIAN_MAX_CONNECTION_AGE", value_name = "DURATION", value_parser = duration::parse, default_value = "0s")]
    max_connection_age: Duration,
    /// How long calls may go on after that. Streams then end with UNAVAILABLE, and their
    /// consumers resume them.
    #[arg(long, env = "VIRIDIAN_MAX_CONNECTION_AGE_GRACE", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    max_connection_age_grace: Duration,
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
    /// Calls per second that one address may start without credentials; 0 for no limit.
    ///
    /// These are health checks and calls that are denied. Calls with good credentials
    /// do not count.
    #[arg(
        long,
        env = "VIRIDIAN_MAX_ANONYMOUS_RATE",
        value_name = "N",
        default_value_t = 1_000
    )]
    max_anonymous_rate: u32,
    /// Memory for lists that are being made, or that their callers do not take.
    ///
    /// A list counts 4 MiB until it is made, and then its size. Further ones wait.
    #[arg(long, env = "VIRIDIAN_MAX_REPLY_MEMORY", value_name = "SIZE", value_parser = byte_size::parse, default_value = "64MiB")]
    max_reply_memory: ByteSize,
    /// The same for one caller.
    #[arg(long, env = "VIRIDIAN_MAX_REPLY_MEMORY_PER_CALLER", value_name = "SIZE", value_parser = byte_size::parse, default_value = "16MiB")]
    max_reply_memory_per_caller: ByteSize,
    /// How long a caller may take nothing of a list or a stream.
    ///
    /// It then ends with RESOURCE_EXHAUSTED. Consumers that stop reading for longer resume
    /// their watches.
    #[arg(long, env = "VIRIDIAN_REPLY_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    reply_timeout: Duration,
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
            requests_per_caller: args.max_requests_per_caller,
            request_memory: args.max_request_memory.bytes(),
            request_memory_per_caller: args.max_request_memory_per_caller.bytes(),
            message_timeout: args.message_timeout,
            probes: args.max_probes,
            probes_per_address: args.max_probes_per_address,
            health_watches: args.max_health_watches,
            health_watches_per_address: args.max_health_watches_per_address,
            streams: args.max_streams,
            streams_per_caller: args.max_streams_per_caller,
            calls_per_connection: args.max_calls_per_connection,
            connections_per_address: args.max_connections_per_address,
            connections: args.max_connections,
            handshakes_per_address: args.max_handshakes_per_address,
            handshake_timeout: args.handshake_timeout,
            connection_age: args.max_connection_age,
            connection_age_grace: args.max_connection_age_grace,
            rate: args.max_rate,
            burst: args.max_burst,
            anonymous_rate: args.max_anonymous_rate,
            reply_memory: args.max_reply_memory.bytes(),
            reply_memory_per_caller: args.max_reply_memory_per_caller.bytes(),
            reply_timeout: args.reply_timeout,
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
