//! Connections as they come in: no address has too many.

use std::{
    io::{self, IoSlice},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
};

use futures::{Stream, StreamExt as _};
use metrics::{Gauge, counter, gauge};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::{
    layers::{Taken, Tally, address},
    metrics::{CONNECTIONS, CONNECTIONS_REJECTED},
};

/// A connection, counted for its address until it is dropped.
pub(crate) struct Connection {
    stream: TcpStream,
    /// Where it comes from.
    pub(crate) peer: SocketAddr,
    _counted: (Taken<IpAddr>, Open),
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
                    _counted: (taken, Open::new()),
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

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
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
