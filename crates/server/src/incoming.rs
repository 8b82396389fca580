//! Connections: accepted, secured if need be, and known by who is at the other
//! end.

use std::{
    future::ready,
    io,
    net::SocketAddr,
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
    auth::{San, names},
    connections::{Connection, Counted},
    reload::Reloaded,
};

/// Who is at the other end of a connection. In the extensions of each request
/// that comes from there.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The names in the certificate that was shown and verified; none without.
    pub(crate) sans: Arc<[San]>,
}

/// A connection.
pub(crate) struct Io {
    stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    peer: Peer,
    _counted: Counted,
}

/// Connections, secured. A caller that is slow to shake hands keeps no other
/// waiting, and is given up after a while. A listener that fails, as it does when
/// there are too many open files, is tried again.
pub(crate) fn secured(
    connections: impl Stream<Item = io::Result<Connection>>,
    tls: Option<Reloaded<ServerConfig>>,
) -> impl Stream<Item = io::Result<Io>> {
    connections
        .filter_map(async |accepted| match accepted {
            Ok(connection) => Some(connection),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
                None
            }
        })
        .map(move |connection| secure(connection, tls.clone()))
        .buffer_unordered(HANDSHAKES)
        .filter_map(|io| ready(io.map(Ok)))
}

async fn secure(connection: Connection, tls: Option<Reloaded<ServerConfig>>) -> Option<Io> {
    let Connection {
        stream,
        peer: address,
        counted,
    } = connection;
    let Some(tls) = tls else {
        let peer = Peer {
            address,
            sans: Arc::new([]),
        };
        return Some(Io {
            stream: Either::Left(stream),
            peer,
            _counted: counted,
        });
    };
    let shaken = timeout(PATIENCE, TlsAcceptor::from(tls.now()).accept(stream)).await;
    match shaken.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok(stream) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let own = certificates.and_then(|chain| chain.first());
            let peer = Peer {
                address,
                sans: own.map(names).unwrap_or_default().into(),
            };
            Some(Io {
                stream: Either::Right(Box::new(stream)),
                peer,
                _counted: counted,
            })
        }
        Err(error) => {
            tracing::info!(peer = %address, %error, "a connection could not be secured");
            None
        }
    }
}

impl Connected for Io {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Io {
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

/// How many callers may be shaking hands at a time.
const HANDSHAKES: usize = 1_024;
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);
