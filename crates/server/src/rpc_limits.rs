//! Limits for callers.

use std::time::Duration;

use viridian_store::LimitError;

/// Limits for callers. A call that exceeds one is refused at once, and delays no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcLimits {
    /// Bytes of one message of a caller, decompressed. Decoded, a message may take many
    /// times as much memory.
    pub message_size: u32,
    /// Bytes of the header fields of one call.
    pub header_size: u32,
    /// Calls under way at once, without streams.
    pub requests: u32,
    /// Streams open at once.
    pub streams: u32,
    /// Streams that one caller has open at once.
    pub streams_per_caller: u32,
    /// Calls under way at once on one connection. HTTP/2 lets further ones wait at the
    /// caller.
    pub calls_per_connection: u32,
    /// Connections that one address has open at once.
    pub connections_per_address: u32,
    /// Calls that one caller may begin in a second, on average. 0: no limit.
    pub rate: u32,
    /// Calls that one caller may begin at once after it was quiet.
    pub burst: u32,
    /// How long a call without a stream may take.
    pub request_timeout: Duration,
    /// How long a connection may be idle before the server pings it.
    pub keepalive_interval: Duration,
    /// How long the answer to a ping may take.
    pub keepalive_timeout: Duration,
}

impl Default for RpcLimits {
    fn default() -> Self {
        Self {
            message_size: MIB,
            header_size: 16 * KIB,
            requests: 1_024,
            streams: 10_000,
            streams_per_caller: 1_000,
            calls_per_connection: 1_000,
            connections_per_address: 512,
            rate: 10_000,
            burst: 10_000,
            request_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl RpcLimits {
    /// Gives the first limit that is out of its bounds.
    pub(crate) fn check(&self) -> Result<(), LimitError> {
        LimitError::check_count("max-message-size", self.message_size, 64 * KIB..=64 * MIB)?;
        LimitError::check_count("max-header-size", self.header_size, 4 * KIB..=MIB)?;
        LimitError::check_count("max-requests", self.requests, 1..=1_000_000)?;
        LimitError::check_count("max-streams", self.streams, 1..=1_000_000)?;
        let streams = self.streams_per_caller;
        LimitError::check_count("max-streams-per-caller", streams, 1..=1_000_000)?;
        let calls = self.calls_per_connection;
        LimitError::check_count("max-calls-per-connection", calls, 1..=1_000_000)?;
        let connections = self.connections_per_address;
        LimitError::check_count("max-connections-per-address", connections, 1..=1_000_000)?;
        LimitError::check_count("max-rate", self.rate, 0..=1_000_000)?;
        LimitError::check_count("max-burst", self.burst, 1..=1_000_000)?;
        LimitError::check_duration("request-timeout", self.request_timeout, SECOND..=HOUR)?;
        LimitError::check_duration(
            "keepalive-interval",
            self.keepalive_interval,
            SECOND..=TWO_HOURS,
        )?;
        LimitError::check_duration(
            "keepalive-timeout",
            self.keepalive_timeout,
            SECOND..=TWO_HOURS,
        )
    }
}

const KIB: u32 = 1_024;
const MIB: u32 = 1_024 * KIB;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_work() {
        assert_eq!(RpcLimits::default().check(), Ok(()));
    }

    #[test]
    fn one_that_cannot_is_named_with_its_bounds() {
        let nobody = RpcLimits {
            requests: 0,
            ..RpcLimits::default()
        };
        let error = nobody.check().expect_err("nobody could call");
        assert_eq!(error.flag, "max-requests");
        assert_eq!(error.to_string(), "must be 1 to 1000000");
        let at_once = RpcLimits {
            request_timeout: Duration::from_millis(999),
            ..RpcLimits::default()
        };
        let error = at_once.check().expect_err("nothing is that fast");
        assert_eq!(error.to_string(), "must be 1s to 1h");
    }
}
