//! Accepted connections, limited for each address.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use futures::{Stream, StreamExt as _};
use metrics::{Gauge, counter, gauge};
use tokio::net::TcpStream;

use crate::{
    keyed_semaphore::{KeyedPermit, KeyedSemaphore},
    metrics::{CONNECTIONS, CONNECTIONS_REJECTED},
    peer::network,
};

/// A connection that was let in.
pub(crate) struct AcceptedConnection {
    pub(crate) stream: TcpStream,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    pub(crate) permit: ConnectionPermit,
}

/// Counts a connection, for its address and in all, until it is dropped.
pub(crate) struct ConnectionPermit {
    _of_address: KeyedPermit<IpAddr>,
    _open: OpenConnection,
}

/// Lets in connections, up to a limit for each address. Closes the others at once.
pub(crate) fn admit(
    incoming: impl Stream<Item = io::Result<TcpStream>>,
    limit: u32,
) -> impl Stream<Item = io::Result<AcceptedConnection>> {
    // Before the handshake: a flood from one address must not cost any cryptography.
    let semaphore = KeyedSemaphore::new(limit);
    incoming.filter_map(move |arrived| {
        let admitted = match arrived.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => semaphore.try_acquire(network(peer.ip())).map(|permit| {
                Ok(AcceptedConnection {
                    stream,
                    peer,
                    permit: ConnectionPermit {
                        _of_address: permit,
                        _open: OpenConnection::new(),
                    },
                })
            }),
            Err(error) => Some(Err(error)),
        };
        // The stream is dropped by now, which closes the connection. At the level
        // debug, or a flood of connections would be a flood of lines.
        if admitted.is_none() {
            counter!(CONNECTIONS_REJECTED).increment(1);
            tracing::debug!("a connection was refused: its address has too many");
        }
        std::future::ready(admitted)
    })
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
