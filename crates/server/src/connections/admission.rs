//! Which connections are let in.

use std::net::SocketAddr;

use metrics::counter;
use tokio::net::TcpStream;

use super::{
    handshakes::{HandshakePermit, Handshakes},
    permit::ConnectionPermits,
};
use crate::{metrics::CONNECTIONS_REJECTED, peer::network, rpc_limits::RpcLimits};

/// A connection that was let in.
pub(super) struct AcceptedConnection {
    pub(super) stream: TcpStream,
    /// Where it comes from.
    pub(super) peer: SocketAddr,
    pub(super) handshake: HandshakePermit,
}

/// Decides which connections are let in: up to a limit for each address and in all.
#[derive(Clone)]
pub(super) struct Admission {
    permits: ConnectionPermits,
    handshakes: Handshakes,
}

impl Admission {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        Self {
            permits: ConnectionPermits::new(limits),
            handshakes: Handshakes::new(limits.handshakes_per_address),
        }
    }

    /// Lets in a connection, or closes it at once. Before the handshake: a flood from one
    /// address must not cost any cryptography.
    pub(super) fn admit(&self, stream: TcpStream) -> Option<AcceptedConnection> {
        let peer = stream.peer_addr().ok()?;
        let network = network(peer.ip());
        let permit = self.permits.try_acquire(network).or_else(|| {
            // Those who only hold connections must not lock out those who use them.
            self.handshakes.make_room(network);
            self.permits.try_acquire(network)
        });
        let Some(permit) = permit else {
            // At the level debug, or a flood of connections would be a flood of lines.
            counter!(CONNECTIONS_REJECTED).increment(1);
            tracing::debug!("a connection was refused: there are too many");
            return None;
        };
        Some(AcceptedConnection {
            stream,
            peer,
            handshake: self.handshakes.begin(network, permit),
        })
    }
}
