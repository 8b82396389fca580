//! gRPC-Web, for browsers: they have neither HTTP/2 frames nor trailers.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, header};
use tonic_web::GrpcWebLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Which browsers may call. Pages of the server's own origin always may, and so may all
/// that is not a browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrpcWeb {
    /// The origins of other pages: `https://example.org`, or `*` for all origins.
    pub origins: Vec<String>,
}

impl GrpcWeb {
    /// Gives the first text that is not an origin.
    pub(crate) fn check(&self) -> Result<(), &str> {
        match self.origins.iter().find(|origin| !is_origin(origin)) {
            Some(origin) => Err(origin),
            None => Ok(()),
        }
    }
}

/// A scheme, a host and perhaps a port, in the way browsers write it.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return text == "*";
    };
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte);
    ["http", "https"].contains(&scheme) && !host.is_empty() && host.bytes().all(plain)
}

/// Translates gRPC-Web, and lets gRPC through as it is.
pub(super) fn grpc_web() -> GrpcWebLayer {
    GrpcWebLayer::new()
}

/// The headers by which browsers know which pages may call.
pub(super) fn cors(origins: &[String]) -> CorsLayer {
    let origins = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let values = origins.iter().map(|it| HeaderValue::from_str(it));
        // None is left out: `check` lets only origins pass that are valid in a header.
        AllowOrigin::list(values.filter_map(Result::ok))
    };
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::POST])
        .allow_headers(ALLOWED_HEADERS)
        .expose_headers(EXPOSED_HEADERS)
        .max_age(Duration::from_secs(24 * 60 * 60))
}

/// What a page may send.
const ALLOWED_HEADERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("grpc-timeout"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-grpc-web"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-user-agent"),
];

/// What a page may see.
const EXPOSED_HEADERS: [HeaderName; 4] = [
    HeaderName::from_static("grpc-message"),
    HeaderName::from_static("grpc-status"),
    HeaderName::from_static("grpc-status-details-bin"),
    HeaderName::from_static("x-request-id"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for origin in [
            "*",
            "http://localhost:3000",
            "https://example.org",
            "http://[::1]:80",
        ] {
            assert!(is_origin(origin), "{origin:?}");
        }
        for other in [
            "",
            "example.org",
            "https://",
            "https://a.b/",
            "https://*.a.b",
            "ftp://a.b",
        ] {
            assert!(!is_origin(other), "{other:?}");
        }
    }
}
