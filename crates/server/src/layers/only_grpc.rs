//! Refuses requests that are not gRPC.

use axum::{body::Body, extract::Request, middleware::Next, response::Response};
use http::{StatusCode, header::CONTENT_TYPE};

use crate::error::foreign::not_grpc;

/// Refuses a request without a gRPC content type, with the HTTP status that the protocol
/// asks for.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    if is_grpc(&request) {
        return next.run(request).await;
    }
    let mut refused = not_grpc().into_http::<Body>();
    // A client that speaks only HTTP does not read grpc-status.
    *refused.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    refused
}

/// Whether the content type is one that the services read.
fn is_grpc(request: &Request) -> bool {
    let stated = request.headers().get(CONTENT_TYPE);
    let stated = stated.and_then(|stated| stated.to_str().ok());
    stated.is_some_and(|stated| {
        let kind = stated.split(';').next().unwrap_or_default().trim();
        CONTENT_TYPES
            .iter()
            .any(|known| kind.eq_ignore_ascii_case(known))
    })
}

// Those of gRPC-Web are not here: the layer around this one has translated them.
const CONTENT_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];
