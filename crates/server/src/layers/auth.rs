//! Authentication: lets in callers with credentials and a role that the method needs, and
//! names them to the services.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, header::AUTHORIZATION};
use tonic::Status;

use super::{
    authenticator::{AdmittedCall, Authenticator},
    call_info::CallInfo,
    client_key::ClientKey,
    rate::RateLimits,
    refused::refuse,
    stream_ends::StreamEnds,
};
use crate::{
    auth::{Caller, Credential, TokenDigest},
    error::{credentials_invalid, limits::too_fast},
    peer::Peer,
};

/// What authentication needs.
#[derive(Clone)]
pub(super) struct AuthLayer {
    pub(super) authenticator: Authenticator,
    pub(super) anonymous: RateLimits,
}

/// Lets in a call, or refuses it. Takes its token out of the request: services see the
/// [`Caller`] in the extensions instead. A stream ends when its credential is revoked.
pub(super) async fn authenticate(
    State(AuthLayer {
        authenticator,
        anonymous,
    }): State<AuthLayer>,
    mut request: Request,
    next: Next,
) -> Response {
    let method = CallInfo::of(&request).method;
    let peer = request.extensions().get::<Peer>().cloned();
    let shown = credential(request.headers_mut(), peer.as_ref());
    let checked = authenticator.check(method, shown);
    // A caller with the same address as a flood is not held up by it, since only calls
    // without good credentials count.
    if method.is_probe || checked.is_err() {
        let actor = checked.as_ref().err().and_then(|it| it.actor.clone());
        if let Err(wait) = anonymous.check(&key_of(actor, peer.as_ref())) {
            return refuse("anonymous_rate", &too_fast(wait));
        }
    }
    let admitted = match checked {
        Ok(admitted) => admitted,
        Err(denied) => {
            denied.log(method, peer.as_ref());
            return denied.status.into_http();
        }
    };
    let AdmittedCall {
        principal,
        credential,
    } = admitted;
    let caller = Caller::new(Arc::clone(&principal), method.path);
    request.extensions_mut().insert(caller);
    // A unary call ends soon by itself. A stream may last longer than its credential.
    if let Some(credential) = credential
        && method.streams
    {
        let revoked = authenticator.revoked(method, principal, credential);
        StreamEnds::of(&request).end_when(revoked);
    }
    next.run(request).await
}

/// Whose denied calls and probes count together: those of a caller that is known, or of an
/// address.
fn key_of(actor: Option<Arc<str>>, peer: Option<&Peer>) -> ClientKey {
    match (actor, peer) {
        (Some(name), _) => ClientKey::Principal(name),
        (None, Some(peer)) => ClientKey::Network(peer.network()),
        (None, None) => ClientKey::Unknown,
    }
}

/// The credential of a request, if it has one. An error if it is not well-formed.
fn credential(headers: &mut HeaderMap, peer: Option<&Peer>) -> Result<Option<Credential>, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(one), None) => Some(bearer(one.as_bytes()).map(TokenDigest::of)),
        // Two tokens are none: a proxy and this server might each take another one.
        (Some(_), Some(_)) => Some(None),
    };
    // Services, spans and logs must not see the token.
    headers.remove(AUTHORIZATION);
    match (token, peer) {
        // A token counts before a certificate: that may be the one of a proxy that forwards tokens.
        (Some(Some(digest)), _) => Ok(Some(Credential::Token(digest))),
        (Some(None), _) => Err(credentials_invalid(
            "the authorization header is not one `Bearer TOKEN`",
        )),
        (None, Some(peer)) if !peer.sans.is_empty() => {
            Ok(Some(Credential::Certificate(Arc::clone(&peer.sans))))
        }
        (None, _) => Ok(None),
    }
}

/// The token of a header. The scheme's name may be in any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let token = token.trim_ascii();
    let is_one = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    (scheme.eq_ignore_ascii_case(SCHEME) && is_one).then_some(token)
}

const SCHEME: &[u8] = b"bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_what_follows_the_scheme() {
        for (header, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER   abc ", Some("abc")),
            ("", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Bearerabc", None),
            ("abc", None),
            ("Basic abc", None),
            ("Bearer a b", None),
            ("Bearer \u{e9}", None),
        ] {
            let found = bearer(header.as_bytes());
            assert_eq!(found, token.map(str::as_bytes), "{header:?}");
        }
    }

    #[test]
    fn the_token_is_taken_out_of_the_request() {
        let mut headers = HeaderMap::new();
        headers.append(AUTHORIZATION, "Bearer abc".parse().expect("a header"));
        let found = credential(&mut headers, None).expect("it is well-formed");
        assert!(
            matches!(found, Some(Credential::Token(digest)) if digest.is(&TokenDigest::of(b"abc")))
        );
        assert!(headers.is_empty());
        assert!(matches!(credential(&mut headers, None), Ok(None)));
    }

    #[test]
    fn two_tokens_are_none() {
        let mut headers = HeaderMap::new();
        for token in ["Bearer abc", "Bearer def"] {
            headers.append(AUTHORIZATION, token.parse().expect("a header"));
        }
        credential(&mut headers, None).expect_err("which one");
        assert!(headers.is_empty());
    }
}
