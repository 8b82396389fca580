//! What the replicas of a deployment speak.

/// What the replicas of a deployment speak. It is for proxies: no rule of a rollout asks
/// for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without TLS.
    Http2,
    /// Bytes over TCP.
    Tcp,
}
