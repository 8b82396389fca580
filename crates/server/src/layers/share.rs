//! Whose share of the server a call takes.

use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use axum::{extract::Request, middleware::Next, response::Response};
use tracing::{Span, field::display};

use crate::{auth::Caller, incoming::Peer};

/// Whose share of the server a call takes: each has its own rate and its own
/// streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Share {
    /// Of all who have those credentials.
    Of(Arc<str>),
    /// Of all who call from there.
    At(IpAddr),
    /// Of all of whom nobody knows from where.
    Unknown,
}

/// Finds out whose it is, and tells those that come after, and the span.
pub(crate) async fn tell(mut request: Request, next: Next) -> Response {
    let share = identify(&request);
    match &share {
        Share::Of(name) => Span::current().record("actor", display(name)),
        Share::At(address) => Span::current().record("actor", display(address)),
        Share::Unknown => &Span::current(),
    };
    request.extensions_mut().insert(share);
    next.run(request).await
}

impl Share {
    /// The one that a request takes.
    pub(crate) fn of(request: &Request) -> Self {
        let told = request.extensions().get().cloned();
        told.unwrap_or(Self::Unknown)
    }
}

fn identify(request: &Request) -> Share {
    let extensions = request.extensions();
    if let Some(name) = extensions.get::<Caller>().and_then(Caller::known) {
        return Share::Of(name.into());
    }
    let peer = extensions.get::<Peer>();
    peer.map_or(Share::Unknown, |peer| Share::At(address(peer.address.ip())))
}

/// The address that a share is for. Whoever has one IPv6 address has the whole
/// network of it.
pub(crate) fn address(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let network = ip.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_for_an_address_or_a_network() {
        for (ip, share) in [
            ("127.0.0.1", "127.0.0.1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::1"),
        ] {
            let address = address(ip.parse().expect("an address"));
            assert_eq!(address.to_string(), share, "{ip}");
        }
    }
}
