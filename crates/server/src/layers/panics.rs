//! Panics: caught, logged and counted. The server lives on.

use std::{any::Any, panic::AssertUnwindSafe};

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use http::StatusCode;
use metrics::counter;
use tonic::Status;

use super::call_info::CallInfo;
use crate::{
    error::limits::panicked, metrics::RPC_PANICS, rpc_method::RpcMethod, tasks::panic_message,
};

/// Replies 500 to a request that panics. A panic in a gRPC call does not come this far:
/// there it is caught in [`super::observe`] and in the body, which can say INTERNAL.
///
/// Not tower-http's layer: that neither counts panics nor logs the method.
pub(crate) async fn catch(request: Request, next: Next) -> Response {
    let method = CallInfo::of(&request).method;
    // The layers inside share no state that a panic could leave half changed.
    let replied = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    replied.unwrap_or_else(|panic| {
        report(method, &*panic);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    })
}

/// Logs and counts a panic, and gives the status of its call.
pub(super) fn report(method: &RpcMethod, panic: &(dyn Any + Send)) -> Status {
    tracing::error!(
        method = method.full_name(),
        what = panic_message(panic),
        "a call panicked"
    );
    counter!(RPC_PANICS).increment(1);
    panicked()
}
