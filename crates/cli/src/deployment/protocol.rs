//! What replicas speak, by the names of flags and of settings files.

use clap::ValueEnum;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ProtocolArg {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS: h2c and gRPC.
    Http2,
    /// Bytes over TCP, which proxies pass on as they are.
    Tcp,
}

impl ProtocolArg {
    /// The name in settings files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tcp => "tcp",
        }
    }
}
