//! Exported spans: the caller's span is the parent, and the status of the call is in it.
//! Without an exporter all of this does nothing.

use http::HeaderMap;
use opentelemetry::{
    Context,
    trace::{
        SpanContext, SpanId, Status as SpanStatus, TraceContextExt as _, TraceFlags, TraceId,
        TraceState,
    },
};
use tonic::{Code, Status};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::traceparent::TraceParent;
use crate::error::code_name;

/// Makes the caller's span the parent of the span of the call. The latter must not have
/// been entered yet.
pub(super) fn set_parent(span: &Span, parent: TraceParent<'_>, headers: &HeaderMap) {
    let trace = TraceId::from_hex(parent.trace_id);
    let (Ok(trace), Ok(caller)) = (trace, SpanId::from_hex(parent.parent_id)) else {
        return;
    };
    // The caller decides whether the trace is recorded.
    let flags = TraceFlags::default().with_sampled(parent.sampled);
    let caller = SpanContext::new(trace, caller, flags, true, state(headers));
    // It fails without an exporter.
    let _ = span.set_parent(Context::new().with_remote_span_context(caller));
}

/// Records how the call ended.
pub(super) fn end(span: &Span, status: &Status) {
    let code = status.code();
    span.set_attribute("rpc.grpc.status_code", i64::from(i32::from(code)));
    if is_of_server(code) {
        span.set_status(SpanStatus::error(code_name(code)));
    }
}

/// What other systems add to the trace. One that cannot be read is left out.
fn state(headers: &HeaderMap) -> TraceState {
    let values = headers.get_all("tracestate").iter();
    let values: Vec<_> = values.filter_map(|it| it.to_str().ok()).collect();
    values.join(",").parse().unwrap_or_default()
}

/// Whether the server failed, and not its caller, by OpenTelemetry's conventions for gRPC.
fn is_of_server(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}
