//! What limits refuse.

use axum::response::Response;
use metrics::counter;
use tonic::Status;

use crate::metrics::RPC_REJECTED;

/// Marks a reply that is the refusal of a limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitRefusal;

/// Refuses a call, and counts that this limit did.
pub(crate) fn refuse(limit: &'static str, status: &Status) -> Response {
    counter!(RPC_REJECTED, "limit" => limit).increment(1);
    let mut response: Response = status.clone().into_http();
    response.extensions_mut().insert(LimitRefusal);
    response
}
