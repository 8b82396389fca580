//! What a request passes on its way to a service, a file each. Two stacks, the outer one
//! first:
//!
//! - HTTP, for whatever is served: `call_info`, `request_id`, `trace`, `panics`.
//! - gRPC: `pages` and `web`, `observe`, `pages` again, `only_grpc`, `deadline`, `auth`, `client_key`, `rate`, `load`,
//!   `reply`.
//!
//! Content that is not gRPC goes beside the gRPC stack, inside the HTTP stack. How many
//! connections an address may have is decided before both, in [`crate::connections`].

mod auth;
mod authenticator;
mod call_info;
mod call_report;
mod client_key;
mod complete;
mod deadline;
mod header_room;
mod load;
mod message;
mod observe;
mod observed_body;
mod only_grpc;
#[cfg(feature = "otlp")]
mod otlp;
mod pages;
mod panics;
mod rate;
mod refused;
mod reply;
mod request_id;
mod request_memory;
mod stream_ends;
mod trace;
mod traceparent;
mod web;

use std::convert::Infallible;

use axum::{
    extract::Request,
    middleware::{from_fn, from_fn_with_state},
    response::Response,
};
use tokio_util::sync::CancellationToken;
use tonic::{body::Body, service::Routes};
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_http::request_id::{PropagateRequestIdLayer, SetRequestIdLayer};

pub(crate) use self::pages::{HostRule, PageRules};
pub use self::web::GrpcWeb;
use self::{
    auth::AuthLayer, load::LoadShedder, observe::StreamShutdown, rate::RateLimits,
    request_id::NewRequestId,
};
pub(crate) use self::{authenticator::Authenticator, reply::ReplyLimits};
use crate::rpc_limits::RpcLimits;

/// The services within both stacks.
pub(crate) type LayeredService =
    BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Infallible>;

/// What the gRPC stack needs.
#[derive(Clone)]
pub(crate) struct GrpcStack {
    pub(crate) limits: RpcLimits,
    /// For gRPC-Web, if it is served.
    pub(crate) pages: Option<PageRules>,
    pub(crate) authenticator: Authenticator,
    pub(crate) replies: ReplyLimits,
    /// Ends streams once it is cancelled.
    pub(crate) stop: CancellationToken,
}

impl GrpcStack {
    /// Puts both stacks around the services.
    pub(crate) fn around(self, routes: Routes) -> LayeredService {
        let timeout = self.limits.request_timeout;
        let layered = ServiceBuilder::new()
            .map_response(|response: Response| response.map(Body::new))
            .map_request(|request: http::Request<Body>| request.map(axum::body::Body::new))
            // Outermost, so that the time in all layers counts.
            .map_request(call_info::record(timeout))
            // Before the layer that sets an id, which keeps one that is there.
            .map_request(request_id::clean)
            .layer(SetRequestIdLayer::x_request_id(NewRequestId))
            .layer(PropagateRequestIdLayer::x_request_id())
            .layer(from_fn(trace::trace))
            .layer(from_fn(panics::catch))
            .service(self.grpc_web(routes));
        BoxCloneSyncService::new(layered)
    }

    /// The gRPC stack, and around it the translation from gRPC-Web if that is served.
    fn grpc_web(self, routes: Routes) -> HttpService {
        let Some(pages) = self.pages.clone() else {
            return self.grpc(routes);
        };
        let layered = ServiceBuilder::new()
            // Outside of the translation: a preflight is an OPTIONS request that is not gRPC-Web.
            .layer(web::cors(&pages.origins))
            .layer(from_fn_with_state(pages, pages::mark))
            .map_response(|response: http::Response<Body>| response.map(axum::body::Body::new))
            .layer(web::grpc_web())
            .map_response(|response: Response| response.map(Body::new))
            .map_request(|request: http::Request<Body>| request.map(axum::body::Body::new))
            .service(self.grpc(routes));
        BoxCloneSyncService::new(layered)
    }

    fn grpc(self, routes: Routes) -> HttpService {
        let layered = ServiceBuilder::new()
            // Around all others, so that their refusals are counted, and get their details.
            .layer(from_fn_with_state(
                StreamShutdown(self.stop),
                observe::observe,
            ))
            .layer(from_fn(pages::refuse))
            // Before authentication: a client that does not speak
            // gRPC could not read why it is refused.
            .layer(from_fn(only_grpc::check))
            .layer(from_fn(deadline::enforce))
            .layer(from_fn_with_state(
                AuthLayer {
                    authenticator: self.authenticator,
                    anonymous: RateLimits::of_anonymous(&self.limits),
                },
                auth::authenticate,
            ))
            // After authentication, so that limits count by the caller's name where it has one.
            .layer(from_fn(client_key::identify))
            .layer(from_fn_with_state(
                // Before the load: a caller beyond its rate must not take permits from others.
                RateLimits::of_callers(&self.limits),
                rate::limit,
            ))
            .layer(from_fn_with_state(
                LoadShedder::new(&self.limits),
                load::shed,
            ))
            // Within the load: a call that waits here counts as under way.
            .layer(from_fn_with_state(self.replies, reply::limit))
            .service(routes);
        BoxCloneSyncService::new(layered)
    }
}

type HttpService = BoxCloneSyncService<Request, Response, Infallible>;

#[cfg(test)]
mod tests;
