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
    /// Calls of one caller under way at once, without streams.
    pub requests_per_caller: u32,
    /// Bytes of the requests under way: headers, messages, and 16 KiB for each.
    pub request_memory: u32,
    /// The same of one caller.
    pub request_memory_per_caller: u32,
    /// How long the message of a call may take to come.
    pub message_timeout: Duration,
    /// Health checks and reflections under way at once.
    pub probes: u32,
    /// The same of one address.
    pub probes_per_address: u32,
    /// Watches of the health service open at once.
    pub health_watches: u32,
    /// The same of one address.
    pub health_watches_per_address: u32,
    /// Streams open at once.
    pub streams: u32,
    /// Streams that one caller has open at once.
    pub streams_per_caller: u32,
    /// Calls under way at once on one connection. HTTP/2 lets further ones wait at the
    /// caller. A fifth of them is not for streams.
    pub calls_per_connection: u32,
    /// Connections that one address has open at once.
    pub connections_per_address: u32,
    /// Connections that are open at once.
    pub connections: u32,
    /// Connections of one address that have not sent their first frame. The oldest makes
    /// room for a new one.
    pub handshakes_per_address: u32,
    /// How long a connection may take until its first frame.
    pub handshake_timeout: Duration,
    /// How old a connection may become, give or take a tenth. Zero: any age.
    pub connection_age: Duration,
    /// How long calls may go on after that.
    pub connection_age_grace: Duration,
    /// Calls that one caller may begin in a second, on average. 0: no limit.
    pub rate: u32,
    /// Calls that one caller may begin at once after it was quiet.
    pub burst: u32,
    /// Calls in a second, on average, that an address may begin without credentials: probes,
    /// and calls that are denied. 0: no limit.
    pub anonymous_rate: u32,
    /// Bytes of lists under way: those that are made, and those that are not taken.
    pub reply_memory: u32,
    /// The same of one caller.
    pub reply_memory_per_caller: u32,
    /// How long a caller may take nothing of a reply or a stream that it was offered.
    pub reply_timeout: Duration,
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
            requests_per_caller: 512,
            request_memory: 64 * MIB,
            request_memory_per_caller: 16 * MIB,
            message_timeout: Duration::from_secs(10),
            probes: 512,
            probes_per_address: 64,
            health_watches: 1_024,
            health_watches_per_address: 128,
            streams: 10_000,
            streams_per_caller: 1_000,
            calls_per_connection: 1_280,
            connections_per_address: 512,
            connections: 4_096,
            handshakes_per_address: 64,
            handshake_timeout: Duration::from_secs(10),
            connection_age: Duration::ZERO,
            connection_age_grace: Duration::from_secs(30),
            rate: 10_000,
            burst: 10_000,
            anonymous_rate: 1_000,
            reply_memory: 64 * MIB,
            reply_memory_per_caller: 16 * MIB,
            reply_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl RpcLimits {
    /// Streams open at once on one connection: fewer than calls, so that a call that is no
    /// stream always finds room.
    pub(crate) fn streams_per_connection(&self) -> u32 {
        (self.calls_per_connection - self.calls_per_connection / 5)
            .min(self.calls_per_connection.saturating_sub(1))
            .max(1)
    }

    /// Gives the first limit that is out of its bounds.
    pub(crate) fn check(&self) -> Result<(), LimitError> {
        LimitError::check_count("max-message-size", self.message_size, 64 * KIB..=64 * MIB)?;
        LimitError::check_count("max-header-size", self.header_size, 4 * KIB..=MIB)?;
        LimitError::check_count("max-requests", self.requests, 1..=1_000_000)?;
        let per_caller = self.requests_per_caller;
        LimitError::check_count("max-requests-per-caller", per_caller, 1..=1_000_000)?;
        let memory = self.request_memory;
        LimitError::check_count("max-request-memory", memory, MIB..=2_048 * MIB)?;
        let per_caller = self.request_memory_per_caller;
        LimitError::check_count(
            "max-request-memory-per-caller",
            per_caller,
            MIB..=2_048 * MIB,
        )?;
        for (flag, count) in [
            ("max-probes", self.probes),
            ("max-probes-per-address", self.probes_per_address),
            ("max-health-watches", self.health_watches),
            (
                "max-health-watches-per-address",
                self.health_watches_per_address,
            ),
        ] {
            LimitError::check_count(flag, count, 1..=1_000_000)?;
        }
        LimitError::check_count("max-anonymous-rate", self.anonymous_rate, 0..=1_000_000)?;
        LimitError::check_count("max-streams", self.streams, 1..=1_000_000)?;
        let streams = self.streams_per_caller;
        LimitError::check_count("max-streams-per-caller", streams, 1..=1_000_000)?;
        let calls = self.calls_per_connection;
        LimitError::check_count("max-calls-per-connection", calls, 1..=1_000_000)?;
        let connections = self.connections_per_address;
        LimitError::check_count("max-connections-per-address", connections, 1..=1_000_000)?;
        LimitError::check_count("max-connections", self.connections, 1..=1_000_000)?;
        let handshakes = self.handshakes_per_address;
        LimitError::check_count("max-handshakes-per-address", handshakes, 1..=1_000_000)?;
        LimitError::check_count("max-rate", self.rate, 0..=1_000_000)?;
        LimitError::check_count("max-burst", self.burst, 1..=1_000_000)?;
        for (flag, bytes) in [
            ("max-reply-memory", self.reply_memory),
            ("max-reply-memory-per-caller", self.reply_memory_per_caller),
        ] {
            LimitError::check_count(flag, bytes, MIB..=2_047 * MIB)?;
        }
        if !self.connection_age.is_zero() {
            LimitError::check_duration("max-connection-age", self.connection_age, SECOND..=MONTH)?;
        }
        for (flag, value, bounds) in [
            ("request-timeout", self.request_timeout, SECOND..=HOUR),
            ("reply-timeout", self.reply_timeout, SECOND..=HOUR),
            ("message-timeout", self.message_timeout, SECOND..=HOUR),
            (
                "keepalive-interval",
                self.keepalive_interval,
                SECOND..=TWO_HOURS,
            ),
            (
                "keepalive-timeout",
                self.keepalive_timeout,
                SECOND..=TWO_HOURS,
            ),
            ("handshake-timeout", self.handshake_timeout, SECOND..=HOUR),
            (
                "max-connection-age-grace",
                self.connection_age_grace,
                Duration::ZERO..=TWO_HOURS,
            ),
        ] {
            LimitError::check_duration(flag, value, bounds)?;
        }
        Ok(())
    }
}

const KIB: u32 = 1_024;
const MIB: u32 = 1_024 * KIB;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const TWO_HOURS: Duration = Duration::from_secs(2 * 60 * 60);
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Bytes of one reply that wait to be sent, beside the slice that was handed out last.
pub(crate) const SEND_BUFFER: usize = 16 * 1_024;

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
