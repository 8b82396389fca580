//! Accepted connections: with TLS or without, and with who is at the other end.

use std::{
    future::ready,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use crate::{
    auth::names,
    connections::{AcceptedConnection, ConnectionPermit},
    peer::Peer,
    reload::ReloadedValue,
};

/// A connection, with TLS or without.
pub(crate) struct SecureStream {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    peer: Peer,
    _permit: ConnectionPermit,
}

/// Does the handshakes of connections, side by side: a slow caller delays no other, and is
/// dropped after [`HANDSHAKE_TIMEOUT`].
pub(crate) fn secured(
    connections: impl Stream<Item = io::Result<AcceptedConnection>>,
    tls: Option<ReloadedValue<ServerConfig>>,
) -> impl Stream<Item = io::Result<SecureStream>> {
    connections
        .filter_map(async |accepted| match accepted {
            Ok(connection) => Some(connection),
            // It fails while too many files are open. Without the pause this would be a
            // busy loop, and the end of the stream would be the end of the server.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_RETRY).await;
                None
            }
        })
        .map(move |connection| secure(connection, tls.clone()))
        // In order, one slow handshake would hold back all connections after it.
        .buffer_unordered(MAX_HANDSHAKES)
        .filter_map(|io| ready(io.map(Ok)))
}

async fn secure(
    connection: AcceptedConnection,
    tls: Option<ReloadedValue<ServerConfig>>,
) -> Option<SecureStream> {
    let AcceptedConnection {
        stream,
        peer: address,
        permit,
    } = connection;
    let Some(tls) = tls else {
        let peer = Peer {
            address,
            sans: Arc::new([]),
        };
        return Some(SecureStream {
            stream: Either::Left(stream),
            peer,
            _permit: permit,
        });
    };
    let handshake = timeout(
        HANDSHAKE_TIMEOUT,
        // Taken for each connection, so that a new certificate applies without a restart.
        TlsAcceptor::from(tls.now()).accept(stream),
    )
    .await;
    match handshake.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok(stream) => {
            let certificates = stream.get_ref().1.peer_certificates();
            // The first certificate is the caller's own. The others are those of its CAs.
            let own = certificates.and_then(|chain| chain.first());
            let peer = Peer {
                address,
                sans: own.map(names).unwrap_or_default().into(),
            };
            Some(SecureStream {
                stream: Either::Right(Box::new(stream)),
                peer,
                _permit: permit,
            })
        }
        Err(error) => {
            tracing::info!(peer = %address, %error, "a connection could not be secured");
            None
        }
    }
}

impl Connected for SecureStream {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for SecureStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for SecureStream {
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
        slices: &[io::IoSlice<'_>],
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

/// How many handshakes may be under way at once.
const MAX_HANDSHAKES: usize = 1_024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
