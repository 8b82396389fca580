//! Which web pages may call. A browser sends what any page asks for to whatever it reaches,
//! a server on loopback too. It says who asks (`Origin`) and what the page takes the server
//! for (`Host`); that it hides a reply from a page of another origin does not undo the call.

use std::net::IpAddr;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{
    HeaderValue, Version,
    header::{CONTENT_TYPE, HOST, ORIGIN},
    uri::Authority,
};

use crate::error::{host_not_allowed, origin_not_allowed};

/// Which pages and host names are taken.
#[derive(Clone, Debug)]
pub(crate) struct PageRules {
    /// Origins of other hosts, or `*`.
    pub(crate) origins: Vec<String>,
    /// Without credentials only the host name shows that a page comes from this machine.
    pub(crate) hosts: HostRule,
}

/// Which names of the server are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostRule {
    /// All: a caller needs credentials, which a page of a stranger lacks.
    Any,
    /// Those of loopback.
    Loopback,
    /// Those of loopback, and addresses. The owner of a name can have it lead anywhere (DNS
    /// rebinding); an address leads where it says.
    Addresses,
}

/// Why a page may not call. Decided before gRPC-Web is translated, which changes what is
/// looked at here, and refused after it, where refusals are counted and get their details.
#[derive(Clone, Debug)]
enum Refusal {
    Host(String),
    Origin(String),
}

/// Marks a request that no page of this kind may make.
pub(super) async fn mark(
    State(rules): State<PageRules>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(refusal) = rules.refusal(&request) {
        request.extensions_mut().insert(refusal);
    }
    next.run(request).await
}

/// Refuses a request that is marked.
pub(super) async fn refuse(request: Request, next: Next) -> Response {
    match request.extensions().get::<Refusal>() {
        Some(Refusal::Host(host)) => host_not_allowed(host).into_http(),
        Some(Refusal::Origin(origin)) => origin_not_allowed(origin).into_http(),
        None => next.run(request).await,
    }
}

impl PageRules {
    fn refusal(&self, request: &Request) -> Option<Refusal> {
        let host = host(request);
        if could_be_a_page(request) && !self.takes(host.as_deref()) {
            return Some(Refusal::Host(host.unwrap_or_default()));
        }
        // All of them: a proxy in between may have added one.
        let origins = request.headers().get_all(ORIGIN);
        let mut foreign = origins.iter().map(text).filter(|origin| {
            // Without the scheme: a proxy that ends TLS leaves the host as it is.
            let own = origin.split_once("://").map(|(_, authority)| authority);
            let own = own.is_some_and(|own| host.as_deref() == Some(own));
            !own && !self.allows(origin)
        });
        foreign.next().map(Refusal::Origin)
    }

    fn allows(&self, origin: &str) -> bool {
        let mut named = self.origins.iter();
        named.any(|named| named == "*" || named.eq_ignore_ascii_case(origin))
    }

    fn takes(&self, host: Option<&str>) -> bool {
        let Some(Ok(authority)) = host.map(str::parse::<Authority>) else {
            return self.hosts == HostRule::Any;
        };
        let name = authority.host();
        // An IPv6 address stands in brackets, since its colons would be taken for a port.
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        match (self.hosts, bare.parse::<IpAddr>()) {
            (HostRule::Any, _) | (HostRule::Addresses, Ok(_)) => true,
            (HostRule::Loopback, Ok(address)) => address.is_loopback(),
            (HostRule::Loopback | HostRule::Addresses, Err(_)) => is_localhost(name),
        }
    }
}

/// Browsers resolve these to loopback themselves (RFC 6761, section 6.3).
fn is_localhost(name: &str) -> bool {
    // A name with a dot at its end is the same name.
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// A browser speaks HTTP/2 only by TLS, where a name needs a certificate, and cannot read a
/// plain gRPC reply. So gRPC over HTTP/2 may have any host name, as behind a proxy.
fn could_be_a_page(request: &Request) -> bool {
    let plain_grpc = request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| !kind.as_bytes().starts_with(b"application/grpc-web"));
    request.version() != Version::HTTP_2 || !plain_grpc || request.headers().contains_key(ORIGIN)
}

/// What the caller takes the server for. A request with two names has none: it is not known
/// by which of them another program goes.
fn host(request: &Request) -> Option<String> {
    let mut headers = request.headers().get_all(HOST).iter();
    let named = request.uri().authority().map(Authority::as_str);
    match (named, headers.next(), headers.next()) {
        (Some(named), None, _) => Some(named.to_owned()),
        (None, Some(host), None) => Some(text(host)),
        (Some(named), Some(host), None) if host == named => Some(named.to_owned()),
        _ => None,
    }
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    #[test]
    fn g7_a_name_that_a_stranger_may_own_is_refused() {
        for (hosts, host, taken) in [
            (HostRule::Loopback, "localhost", true),
            (HostRule::Loopback, "LOCALHOST.:7443", true),
            (HostRule::Loopback, "viridian.localhost:7443", true),
            (HostRule::Loopback, "127.0.0.1:7443", true),
            (HostRule::Loopback, "127.8.9.1", true),
            (HostRule::Loopback, "[::1]:7443", true),
            (HostRule::Loopback, "10.0.0.7:7443", false),
            (HostRule::Loopback, "rebound.example:7443", false),
            (HostRule::Loopback, "localhost.example", false),
            (HostRule::Loopback, "127.0.0.1.nip.example", false),
            (HostRule::Loopback, "notlocalhost", false),
            (HostRule::Loopback, "", false),
            (HostRule::Loopback, "a b", false),
            (HostRule::Addresses, "10.0.0.7:7443", true),
            (HostRule::Addresses, "[2001:db8::1]", true),
            (HostRule::Addresses, "localhost", true),
            (HostRule::Addresses, "rebound.example", false),
            (HostRule::Any, "rebound.example", true),
            (HostRule::Any, "", true),
        ] {
            let rules = PageRules {
                origins: Vec::new(),
                hosts,
            };
            let request = with([("host", host)], Version::HTTP_11);
            assert_eq!(
                rules.refusal(&request).is_none(),
                taken,
                "{hosts:?} {host:?}"
            );
        }
    }

    #[test]
    fn g7_a_page_of_another_origin_is_refused() {
        let named = "https://console.example";
        let rules = PageRules {
            origins: vec![named.to_owned()],
            hosts: HostRule::Loopback,
        };
        let host = ("host", "localhost:7443");
        for (origin, taken) in [
            ("http://localhost:7443", true),
            ("https://console.example", true),
            ("https://Console.Example", true),
            ("https://console.example:444", false),
            ("https://console.example.evil", false),
            ("http://localhost:3000", false),
            ("http://localhost", false),
            ("null", false),
            ("", false),
        ] {
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let one = with([host, ("origin", origin)], version);
                assert_eq!(rules.refusal(&one).is_none(), taken, "{origin:?}");
                let two = with([host, ("origin", named), ("origin", origin)], version);
                assert_eq!(rules.refusal(&two).is_none(), taken, "{origin:?}");
            }
        }
    }

    #[test]
    fn g7_grpc_over_http_2_is_no_page() {
        let rules = PageRules {
            origins: Vec::new(),
            hosts: HostRule::Loopback,
        };
        for (kind, version, taken) in [
            ("application/grpc", Version::HTTP_2, true),
            ("application/grpc", Version::HTTP_11, false),
            ("application/grpc-web+proto", Version::HTTP_2, false),
            ("application/grpc-web-text", Version::HTTP_2, false),
        ] {
            let headers = [("host", "viridian.internal"), ("content-type", kind)];
            let request = with(headers, version);
            assert_eq!(rules.refusal(&request).is_none(), taken, "{kind}");
        }
    }

    #[test]
    fn g7_two_host_names_are_none() {
        let rules = PageRules {
            origins: Vec::new(),
            hosts: HostRule::Loopback,
        };
        let two = [("host", "localhost"), ("host", "rebound.example")];
        assert!(rules.refusal(&with(two, Version::HTTP_11)).is_some());
        let mut other = with([("host", "localhost")], Version::HTTP_2);
        *other.uri_mut() = http::Uri::from_static("http://rebound.example/");
        assert!(rules.refusal(&other).is_some());
    }

    fn with<const N: usize>(headers: [(&'static str, &str); N], version: Version) -> Request {
        let mut request = Request::new(Body::empty());
        *request.version_mut() = version;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a value");
            request.headers_mut().append(name, value);
        }
        request
    }
}
