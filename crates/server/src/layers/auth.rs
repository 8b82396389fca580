//! Lets in those who may call, and says to the services who it is.

use std::{future::ready, sync::Arc};

use futures::future::BoxFuture;
use tonic::{
    Status,
    body::Body,
    codegen::{
        Service,
        http::{HeaderMap, Request, Response, header::AUTHORIZATION},
    },
};
use tower::Layer;

use super::revoked::until_revoked;
use crate::{
    auth::{Access, Caller, Credentials, Method, Principal, Proof, TokenDigest, find_method},
    error::{
        credentials_changed, credentials_invalid, credentials_missing, method_unknown,
        role_not_allowed,
    },
    incoming::Peer,
    reload::Reloaded,
};

/// The layer. What is behind it sees no token, and who calls in the extensions.
#[derive(Clone, Debug)]
pub(crate) struct Auth(pub(crate) Guard);

/// Decides who is let in: everyone, as nobody in particular, when no credentials
/// are configured.
#[derive(Clone, Debug)]
pub(crate) struct Guard(pub(crate) Option<Reloaded<Credentials>>);

/// The layer around a service.
#[derive(Clone, Debug)]
pub(crate) struct AuthService<S> {
    guard: Guard,
    inner: S,
}

/// A call that is let in.
struct Admitted {
    method: &'static Method,
    principal: Arc<Principal>,
    /// None when nothing was asked for.
    proof: Option<Proof>,
}

impl<S> Layer<S> for Auth {
    type Service = AuthService<S>;

    fn layer(&self, inner: S) -> AuthService<S> {
        let guard = self.0.clone();
        AuthService { guard, inner }
    }
}

impl<S, B> Service<Request<B>> for AuthService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<Body>, S::Error>>;

    fn poll_ready(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Admitted {
            method,
            principal,
            proof,
        } = match self.guard.admit(&mut request) {
            Ok(admitted) => admitted,
            Err(status) => return Box::pin(ready(Ok(status.into_http()))),
        };
        let caller = Caller::new(Arc::clone(&principal), method.path);
        request.extensions_mut().insert(caller);
        let reply = self.inner.call(request);
        match proof {
            Some(proof) if method.is_watch() => {
                let guard = self.guard.clone();
                Box::pin(async move {
                    let end = guard.revoked(method, principal, proof);
                    Ok(reply.await?.map(|body| until_revoked(body, end)))
                })
            }
            _ => Box::pin(reply),
        }
    }
}

impl Guard {
    /// Lets a request in, and takes its token out of it.
    fn admit<B>(&self, request: &mut Request<B>) -> Result<Admitted, Status> {
        let method = find_method(request.uri().path());
        let peer = request.extensions().get::<Peer>().cloned();
        let shown = shown(request.headers_mut(), peer.as_ref());
        let admitted = self.admit_shown(method, shown);
        if let Err(Denied { status, actor }) = &admitted {
            let method = method.map_or("unknown", |method| method.path);
            log_denial(status, method, actor.as_deref(), peer.as_ref());
        }
        admitted.map_err(|denied| denied.status)
    }

    fn admit_shown(
        &self,
        method: Option<&'static Method>,
        shown: Result<Option<Proof>, Status>,
    ) -> Result<Admitted, Denied> {
        let anonymous = || Arc::new(Principal::anonymous());
        match method {
            Some(method) if self.0.is_none() || method.access == Access::Open => Ok(Admitted {
                method,
                principal: anonymous(),
                proof: None,
            }),
            None if self.0.is_none() => Err(method_unknown().into()),
            _ => {
                let proof = shown?.ok_or_else(credentials_missing)?;
                let principal = self.principal(&proof)?;
                let method = method.ok_or_else(method_unknown)?;
                check_role(method, &principal)?;
                Ok(Admitted {
                    method,
                    principal,
                    proof: Some(proof),
                })
            }
        }
    }

    /// Whose credentials they are now.
    fn principal(&self, proof: &Proof) -> Result<Arc<Principal>, Status> {
        let credentials = self.0.as_ref().map(Reloaded::now);
        let found = credentials.and_then(|all| all.find(proof).cloned());
        found.ok_or_else(|| {
            credentials_invalid(match proof {
                Proof::Token(_) => "the token is not one that may call",
                Proof::Certificate(_) => "the client certificate is not one that may call",
            })
        })
    }

    /// Resolves when a call that goes on would not be let in any more as it was,
    /// with what it is to end with.
    async fn revoked(
        self,
        method: &'static Method,
        principal: Arc<Principal>,
        proof: Proof,
    ) -> Status {
        let Some(mut credentials) = self.0.clone() else {
            return std::future::pending().await;
        };
        loop {
            // First, since they may have changed since the call was let in.
            let now = self.principal(&proof).map_err(Denied::from);
            let now = now.and_then(|now| check_role(method, &now).map(|()| now));
            match now {
                Ok(now) if now == principal => credentials.changed().await,
                Ok(_) => return credentials_changed(),
                Err(Denied { status, .. }) => {
                    log_denial(&status, method.path, Some(&principal.name), None);
                    return status;
                }
            }
        }
    }
}

/// What a request shows; an error when it is not even well-formed.
fn shown(headers: &mut HeaderMap, peer: Option<&Peer>) -> Result<Option<Proof>, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = match (values.next(), values.next()) {
        (None, _) => None,
        (Some(one), None) => Some(bearer(one.as_bytes()).map(TokenDigest::of)),
        (Some(_), Some(_)) => Some(None),
    };
    headers.remove(AUTHORIZATION);
    match (token, peer) {
        (Some(Some(digest)), _) => Ok(Some(Proof::Token(digest))),
        (Some(None), _) => Err(credentials_invalid(
            "the authorization header is not one `Bearer TOKEN`",
        )),
        (None, Some(peer)) if !peer.sans.is_empty() => {
            Ok(Some(Proof::Certificate(Arc::clone(&peer.sans))))
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

fn check_role(method: &Method, principal: &Principal) -> Result<(), Denied> {
    match method.access {
        Access::Open | Access::Known => Ok(()),
        Access::Roles(allowed) if allowed.iter().any(|it| principal.roles.contains(it)) => Ok(()),
        Access::Roles(allowed) => Err(Denied {
            status: role_not_allowed(&principal.name, method.name(), allowed),
            actor: Some(principal.name.clone()),
        }),
    }
}

/// A call that is not let in, and whose it is, if that is known.
struct Denied {
    status: Status,
    actor: Option<String>,
}

impl From<Status> for Denied {
    fn from(status: Status) -> Self {
        Self {
            status,
            actor: None,
        }
    }
}

fn log_denial(status: &Status, method: &str, actor: Option<&str>, peer: Option<&Peer>) {
    let why = status.message();
    let sans = peer.map(|peer| &peer.sans).filter(|sans| !sans.is_empty());
    let certificate = sans.map(|sans| {
        let names: Vec<_> = sans.iter().map(ToString::to_string).collect();
        names.join(", ")
    });
    let peer = peer.map(|peer| peer.address.to_string());
    tracing::warn!(actor, method, peer, certificate, why, "a call was denied");
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
        let proof = shown(&mut headers, None).expect("it is well-formed");
        assert!(matches!(proof, Some(Proof::Token(digest)) if digest.is(&TokenDigest::of(b"abc"))));
        assert!(headers.is_empty());
        assert!(matches!(shown(&mut headers, None), Ok(None)));
    }

    #[test]
    fn two_tokens_are_none() {
        let mut headers = HeaderMap::new();
        for token in ["Bearer abc", "Bearer def"] {
            headers.append(AUTHORIZATION, token.parse().expect("a header"));
        }
        shown(&mut headers, None).expect_err("which one");
        assert!(headers.is_empty());
    }
}
