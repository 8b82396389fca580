//! Refusals of limits.

use axum::response::Response;
use metrics::counter;
use tonic::Status;

use crate::metrics::RPC_REJECTED;

/// Marks the reply of a call that a limit refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitRefusal;

/// Refuses a call, and counts the refusal for this limit.
pub(crate) fn refuse(limit: &'static str, status: &Status) -> Response {
    counter!(RPC_REJECTED, "limit" => limit).increment(1);
    let mut response: Response = status.clone().into_http();
    response.extensions_mut().insert(LimitRefusal);
    response
}
