//! Connections as they come in: no address has too many.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use futures::{Stream, StreamExt as _};
use metrics::{Gauge, counter, gauge};
use tokio::net::TcpStream;

use crate::{
    layers::{Taken, Tally, address},
    metrics::{CONNECTIONS, CONNECTIONS_REJECTED},
};

/// A connection that was let in.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    pub(crate) counted: Counted,
}

/// Counts a connection, for its address and in all, until it is dropped.
pub(crate) struct Counted {
    _of_address: Taken<IpAddr>,
    _open: Open,
}

/// Lets in what comes, but of each address only so many at once. One more is
/// closed at once.
pub(crate) fn admit(
    incoming: impl Stream<Item = io::Result<TcpStream>>,
    most: u32,
) -> impl Stream<Item = io::Result<Connection>> {
    let tally = Tally::new(most);
    incoming.filter_map(move |arrived| {
        let admitted = match arrived.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => tally.take(address(peer.ip())).map(|taken| {
                Ok(Connection {
                    stream,
                    peer,
                    counted: Counted {
                        _of_address: taken,
                        _open: Open::new(),
                    },
                })
            }),
            Err(error) => Some(Err(error)),
        };
        if admitted.is_none() {
            counter!(CONNECTIONS_REJECTED).increment(1);
            tracing::debug!("a connection was refused: its address has too many");
        }
        std::future::ready(admitted)
    })
}

/// One in the gauge of open connections.
struct Open(Gauge);

impl Open {
    fn new() -> Self {
        let gauge = gauge!(CONNECTIONS);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
