//! What every call passes on its way to a service, a file each, the first one
//! first.

mod arrival;
mod auth;
mod complete;
mod deadline;
mod ending;
mod load;
mod meter;
mod method;
mod only_grpc;
#[cfg(feature = "otlp")]
mod otlp;
mod panics;
mod rate;
mod refused;
mod request_id;
mod revoked;
mod share;
mod tally;
mod trace;
mod traceparent;
mod web;

use std::convert::Infallible;

use axum::middleware::{from_fn, from_fn_with_state};
use http::{Request, Response};
use tonic::{body::Body, service::Routes};
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};

pub use self::web::GrpcWeb;
use self::{auth::Auth, load::Load, rate::Rate, request_id::NewRequestId};
pub(crate) use self::{
    auth::Guard,
    share::address,
    tally::{Taken, Tally},
};
use crate::rpc_limits::RpcLimits;

/// The services with all that stands before them.
pub(crate) type Layered = BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>;

/// Puts before the services what every call passes.
pub(crate) fn wrap(
    routes: Routes,
    limits: &RpcLimits,
    web: Option<&GrpcWeb>,
    guard: Guard,
) -> Layered {
    let rate = Rate::new(limits);
    let load = Load::new(limits);
    let layered = ServiceBuilder::new()
        .option_layer(web.map(web::cors))
        .option_layer(web.map(web::grpc_web))
        .map_response(|response: axum::response::Response| response.map(Body::new))
        .map_request(|request: Request<Body>| request.map(axum::body::Body::new))
        .map_request(arrival::note(limits.request_timeout))
        .map_request(request_id::clean)
        .layer(SetRequestIdLayer::x_request_id(NewRequestId))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(from_fn(trace::trace))
        .layer(from_fn(meter::meter))
        .layer(from_fn(complete::complete))
        .layer(from_fn(only_grpc::check))
        .layer(from_fn(panics::catch))
        .layer(from_fn(deadline::hold))
        .layer(Auth(guard))
        .map_response(|response: axum::response::Response| response.map(Body::new))
        .layer(from_fn(share::tell))
        .layer(from_fn_with_state(rate, rate::keep))
        .layer(from_fn_with_state(load, load::shed))
        .service(routes);
    BoxCloneSyncService::new(layered)
}

#[cfg(test)]
mod tests;
