//! How much goes on at once. What is beyond is refused at once: a queue would
//! make everyone wait for what its callers have given up.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http_body_util::BodyExt as _;
use tokio::sync::Semaphore;

use super::{arrival::Arrival, refused::refuse, share::Share, tally::Tally};
use crate::{
    error::limits::{too_many_requests, too_many_streams},
    rpc_limits::RpcLimits,
};

/// How much goes on at once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Load {
    requests: Arc<Semaphore>,
    streams: Tally<()>,
    streams_of: Tally<Share>,
}

impl Load {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        // Half a billion permits at least; the limits allow far fewer.
        let requests = usize::try_from(limits.requests).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            requests: Arc::new(Semaphore::new(requests)),
            streams: Tally::new(limits.streams),
            streams_of: Tally::new(limits.streams_per_caller),
        }
    }
}

/// Refuses what is too much. A call counts until it has its reply, a stream until
/// its end; neither takes the place of the other. Health checks do not count.
pub(crate) async fn shed(State(load): State<Load>, request: Request, next: Next) -> Response {
    let method = Arrival::of(&request).method;
    if method.streams {
        return stream(&load, request, next).await;
    }
    if method.probes {
        return next.run(request).await;
    }
    match load.requests.try_acquire() {
        Ok(_held) => next.run(request).await,
        Err(_) => refuse("requests", &too_many_requests()),
    }
}

async fn stream(load: &Load, request: Request, next: Next) -> Response {
    let Some(of_caller) = load.streams_of.take(Share::of(&request)) else {
        return refuse("streams_per_caller", &too_many_streams(OF_CALLER));
    };
    let Some(of_all) = load.streams.take(()) else {
        return refuse("streams", &too_many_streams(OF_ALL));
    };
    let response = next.run(request).await;
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _until_it_is_dropped = (&of_caller, &of_all);
            frame
        }))
    })
}

const OF_CALLER: &str = "you have too many streams open";
const OF_ALL: &str = "too many streams are open";
