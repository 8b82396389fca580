//! A span for each call, and a line in the log for each that failed.

use axum::{extract::Request, middleware::Next, response::Response};
use tonic::{Code, Status};
use tracing::{Instrument as _, Span, field::Empty};

use super::{
    arrival::Arrival,
    ending::{Ending, follow},
    refused::Refused,
    request_id, traceparent,
};
use crate::error::code_name;

/// Has all that happens in a call happen in its span, to the end of its reply.
///
/// Not tower-http's layer: that does not tell of a call whose caller goes.
pub(crate) async fn trace(request: Request, next: Next) -> Response {
    let arrival = Arrival::of(&request);
    let span = span(&request, arrival);
    let mut ending = Ending::new({
        let span = span.clone();
        move |status: &Status| {
            span.in_scope(|| log(arrival, status));
            #[cfg(feature = "otlp")]
            super::otlp::end(&span, status);
        }
    });
    let response = next.run(request).instrument(span.clone()).await;
    // Those are counted. A line for each would be a flood on top of a flood.
    if response.extensions().get::<Refused>().is_some() {
        ending.keep_quiet();
    }
    follow(response, ending, span)
}

/// The actor is found out on the way.
fn span(request: &Request, arrival: Arrival) -> Span {
    let method = arrival.method.name.as_str();
    let request_id = request_id::of(request);
    if arrival.method.probes {
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
        super::otlp::go_on(&span, parent, request.headers());
    }
    span
}

/// Says how a call ended. What went well is worth no line.
fn log(arrival: Arrival, status: &Status) {
    let (code, message) = (code_name(status.code()), status.message());
    let seconds = arrival.at.elapsed().as_secs_f64();
    match status.code() {
        Code::Ok => tracing::debug!(code, seconds, "done"),
        _ if arrival.method.probes => tracing::debug!(code, seconds, reason = message, "failed"),
        Code::Internal | Code::Unknown | Code::DataLoss => {
            tracing::warn!(code, seconds, reason = message, "failed");
        }
        _ => tracing::info!(code, seconds, reason = message, "failed"),
    }
}
