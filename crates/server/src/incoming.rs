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

use futures::{Stream, StreamExt as _, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tokio_util::either::Either;
use tonic::transport::server::Connected;

use crate::{
    auth::{San, names},
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
}

/// The connections to a listener, for ever. A caller that is slow to shake hands
/// keeps no other waiting, and is given up after a while.
pub(crate) fn incoming(
    listener: TcpListener,
    tls: Option<Reloaded<ServerConfig>>,
) -> impl Stream<Item = io::Result<Io>> {
    stream::unfold(listener, async |listener| {
        let accepted = accept(&listener).await;
        Some((accepted, listener))
    })
    .map(move |(tcp, address)| secure(tcp, address, tls.clone()))
    .buffer_unordered(HANDSHAKES)
    .filter_map(|io| ready(io.map(Ok)))
}

/// The next connection. A listener that fails, as it does when there are too many
/// open files, is tried again.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn secure(
    tcp: TcpStream,
    address: SocketAddr,
    tls: Option<Reloaded<ServerConfig>>,
) -> Option<Io> {
    // Without it a small reply waits for the caller's delayed ACK. It fails only
    // on a connection that is gone.
    let _ = tcp.set_nodelay(true);
    let Some(tls) = tls else {
        let peer = Peer {
            address,
            sans: Arc::new([]),
        };
        let stream = Either::Left(tcp);
        return Some(Io { stream, peer });
    };
    let shaken = timeout(PATIENCE, TlsAcceptor::from(tls.now()).accept(tcp)).await;
    match shaken.unwrap_or_else(|elapsed| Err(elapsed.into())) {
        Ok(stream) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let own = certificates.and_then(|chain| chain.first());
            let peer = Peer {
                address,
                sans: own.map(names).unwrap_or_default().into(),
            };
            let stream = Either::Right(Box::new(stream));
            Some(Io { stream, peer })
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
