//! A span for each request.

use axum::{extract::Request, middleware::Next, response::Response};
use tracing::{Instrument as _, Span, field::Empty};

use super::{call_info::CallInfo, request_id, traceparent};

/// Runs a request in a span of its own. What follows the reply finds it as the current one.
///
/// Not tower-http's layer: that does not report a call whose caller goes.
pub(crate) async fn trace(request: Request, next: Next) -> Response {
    let span = span(&request, CallInfo::of(&request));
    next.run(request).instrument(span).await
}

/// The actor is recorded once it is known.
fn span(request: &Request, call: CallInfo) -> Span {
    let method = call.method.full_name();
    let request_id = request_id::of(request);
    // Probes come all the time: their spans would bury the others in a trace store.
    if call.method.is_probe {
        return tracing::debug_span!("rpc", method, request_id);
    }
    let parent = traceparent::read(request.headers());
    let span = tracing::info_span!(
        "rpc",
        method,
        request_id,
        trace_id = parent.map(|it| it.trace_id),
        parent_id = parent.map(|it| it.parent_id),
        actor = Empty,
    );
    #[cfg(feature = "otlp")]
    if let Some(parent) = parent {
        super::otlp::set_parent(&span, parent, request.headers());
    }
    span
}
