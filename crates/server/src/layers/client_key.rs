//! Whose rate and streams a call counts towards.

use std::{net::IpAddr, sync::Arc};

use axum::{extract::Request, middleware::Next, response::Response};
use tracing::{Span, field::display};

use crate::{auth::Caller, peer::Peer};

/// Whose rate and streams a call counts towards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ClientKey {
    /// All callers with these credentials.
    Principal(Arc<str>),
    /// All callers from this network.
    Network(IpAddr),
    /// All callers from an unknown address.
    Unknown,
}

/// Finds the key of a call, for the layers inside and for the span.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let key = key_of(&request);
    match &key {
        ClientKey::Principal(name) => Span::current().record("actor", display(name)),
        ClientKey::Network(network) => Span::current().record("actor", display(network)),
        ClientKey::Unknown => &Span::current(),
    };
    request.extensions_mut().insert(key);
    next.run(request).await
}

impl ClientKey {
    /// The key of a request, as [`identify`] found it.
    pub(crate) fn of(request: &Request) -> Self {
        let found = request.extensions().get().cloned();
        found.unwrap_or(Self::Unknown)
    }
}

fn key_of(request: &Request) -> ClientKey {
    let extensions = request.extensions();
    // Credentials first: many callers may share the address of a proxy.
    if let Some(name) = extensions.get::<Caller>().and_then(Caller::known) {
        return ClientKey::Principal(name.into());
    }
    let peer = extensions.get::<Peer>();
    peer.map_or(ClientKey::Unknown, |peer| {
        ClientKey::Network(peer.network())
    })
}
