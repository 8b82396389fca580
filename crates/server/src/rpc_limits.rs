//! Limits for callers.

use std::{fmt, ops::RangeInclusive, time::Duration};

use thiserror::Error;

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

/// A limit that cannot work. Displays as its bounds.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("must be {bounds}")]
pub struct RpcLimitError {
    /// The flag that sets the limit, without its dashes.
    pub flag: &'static str,
    bounds: String,
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
    pub(crate) fn check(&self) -> Result<(), RpcLimitError> {
        within("max-message-size", self.message_size, 64 * KIB..=64 * MIB)?;
        within("max-header-size", self.header_size, 4 * KIB..=MIB)?;
        within("max-requests", self.requests, 1..=1_000_000)?;
        within("max-streams", self.streams, 1..=1_000_000)?;
        let streams = self.streams_per_caller;
        within("max-streams-per-caller", streams, 1..=1_000_000)?;
        let calls = self.calls_per_connection;
        within("max-calls-per-connection", calls, 1..=1_000_000)?;
        let connections = self.connections_per_address;
        within("max-connections-per-address", connections, 1..=1_000_000)?;
        within("max-rate", self.rate, 0..=1_000_000)?;
        within("max-burst", self.burst, 1..=1_000_000)?;
        lasts("request-timeout", self.request_timeout, 1..=3_600)?;
        lasts("keepalive-interval", self.keepalive_interval, 1..=7_200)?;
        lasts("keepalive-timeout", self.keepalive_timeout, 1..=7_200)
    }
}

fn within(
    flag: &'static str,
    value: u32,
    bounds: RangeInclusive<u32>,
) -> Result<(), RpcLimitError> {
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(out_of(flag, bounds, ""))
}

fn lasts(
    flag: &'static str,
    value: Duration,
    seconds: RangeInclusive<u64>,
) -> Result<(), RpcLimitError> {
    let bounds = Duration::from_secs(*seconds.start())..=Duration::from_secs(*seconds.end());
    if bounds.contains(&value) {
        return Ok(());
    }
    Err(out_of(flag, seconds, " seconds"))
}

fn out_of(
    flag: &'static str,
    bounds: RangeInclusive<impl fmt::Display>,
    unit: &str,
) -> RpcLimitError {
    let bounds = format!("{} to {}{unit}", bounds.start(), bounds.end());
    RpcLimitError { flag, bounds }
}

const KIB: u32 = 1_024;
const MIB: u32 = 1_024 * KIB;

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
        assert_eq!(error.to_string(), "must be 1 to 3600 seconds");
    }
}
