//! The handshake of TLS, and who is at the other end.

use std::{io, net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tokio_util::either::Either;

use crate::{auth::names, peer::Peer, reload::ReloadedValue};

/// Does the handshake of a connection, if there is TLS.
pub(super) async fn secure(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&ReloadedValue<ServerConfig>>,
) -> io::Result<(Either<TcpStream, Box<TlsStream<TcpStream>>>, Peer)> {
    let Some(tls) = tls else {
        let peer = Peer {
            address,
            sans: Arc::new([]),
        };
        return Ok((Either::Left(stream), peer));
    };
    // Taken for each connection, so that a new certificate applies without a restart.
    let stream = TlsAcceptor::from(tls.now()).accept(stream).await?;
    let certificates = stream.get_ref().1.peer_certificates();
    // The first certificate is the caller's own. The others are those of its CAs.
    let own = certificates.and_then(|chain| chain.first());
    let peer = Peer {
        address,
        sans: own.map(names).unwrap_or_default().into(),
    };
    Ok((Either::Right(Box::new(stream)), peer))
}
