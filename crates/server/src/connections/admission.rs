//! Accepted connections, limited for each address and in all.

use std::net::{IpAddr, SocketAddr};

use metrics::{Gauge, counter, gauge};
use tokio::net::TcpStream;

use super::handshakes::{HandshakePermit, Handshakes};
use crate::{
    keyed_semaphore::{KeyedPermit, KeyedSemaphore},
    metrics::{CONNECTIONS, CONNECTIONS_REJECTED},
    peer::network,
    rpc_limits::RpcLimits,
};

/// A connection that was let in.
pub(super) struct AcceptedConnection {
    pub(super) stream: TcpStream,
    /// Where it comes from.
    pub(super) peer: SocketAddr,
    pub(super) handshake: HandshakePermit,
}

/// Counts a connection, for its address and in all, until it is dropped.
pub(super) struct ConnectionPermit {
    _of_address: KeyedPermit<IpAddr>,
    _of_all: KeyedPermit<()>,
    _open: OpenConnection,
}

/// Decides which connections are let in: up to a limit for each address and in all.
#[derive(Clone)]
pub(super) struct Admission {
    of_address: KeyedSemaphore<IpAddr>,
    of_all: KeyedSemaphore<()>,
    handshakes: Handshakes,
}

impl Admission {
    pub(super) fn new(limits: &RpcLimits) -> Self {
        Self {
            of_address: KeyedSemaphore::new(limits.connections_per_address),
            of_all: KeyedSemaphore::new(limits.connections),
            handshakes: Handshakes::new(limits.handshakes_per_address),
        }
    }

    /// Lets in a connection, or closes it at once. Before the handshake: a flood from one
    /// address must not cost any cryptography.
    pub(super) fn admit(&self, stream: TcpStream) -> Option<AcceptedConnection> {
        let peer = stream.peer_addr().ok()?;
        let network = network(peer.ip());
        let permit = self.try_acquire(network).or_else(|| {
            // Those who only hold connections must not lock out those who use them.
            self.handshakes.make_room(network);
            self.try_acquire(network)
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

    fn try_acquire(&self, network: IpAddr) -> Option<ConnectionPermit> {
        Some(ConnectionPermit {
            _of_address: self.of_address.try_acquire(network)?,
            _of_all: self.of_all.try_acquire(())?,
            _open: OpenConnection::new(),
        })
    }
}

#[cfg(test)]
impl ConnectionPermit {
    pub(super) fn of_tests(network: IpAddr) -> Self {
        let admission = Admission::new(&RpcLimits::default());
        admission.try_acquire(network).expect("the first")
    }
}

/// One in the gauge of open connections.
struct OpenConnection(Gauge);

impl OpenConnection {
    fn new() -> Self {
        let gauge = gauge!(CONNECTIONS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
