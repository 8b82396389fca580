//! Limits on what goes on at once. What exceeds them is refused at once: in a queue, calls
//! would wait for others whose callers have given up.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::sync::Semaphore;

use super::{call_info::CallInfo, client_key::ClientKey, refused::refuse, stream_ends::StreamEnds};
use crate::{
    error::limits::{too_many_requests, too_many_streams},
    keyed_semaphore::KeyedSemaphore,
    rpc_limits::RpcLimits,
};

/// Limits on what goes on at once. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LoadShedder {
    requests: Arc<Semaphore>,
    streams: KeyedSemaphore<()>,
    streams_of_client: KeyedSemaphore<ClientKey>,
}

impl LoadShedder {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        // Half a billion permits at least; the limits allow far fewer.
        let requests = usize::try_from(limits.requests).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            requests: Arc::new(Semaphore::new(requests)),
            streams: KeyedSemaphore::new(limits.streams),
            streams_of_client: KeyedSemaphore::new(limits.streams_per_caller),
        }
    }
}

/// Refuses what exceeds the limits. A call counts until its reply, a stream until its end;
/// neither takes the place of the other. Health checks do not count.
pub(crate) async fn shed(
    State(load): State<LoadShedder>,
    request: Request,
    next: Next,
) -> Response {
    let method = CallInfo::of(&request).method;
    if method.streams {
        return stream(&load, request, next).await;
    }
    if method.is_probe {
        return next.run(request).await;
    }
    // Not `acquire`: a call that waits here would hold memory while its caller gives up.
    match load.requests.try_acquire() {
        // Bound to a name: `_` would give the permit back before the call.
        Ok(_permit) => next.run(request).await,
        Err(_) => refuse("requests", &too_many_requests()),
    }
}

async fn stream(load: &LoadShedder, request: Request, next: Next) -> Response {
    // Of the caller first: one that exceeds its own limit must not use up that of all.
    let key = ClientKey::of(&request);
    let Some(of_caller) = load.streams_of_client.try_acquire(key) else {
        return refuse("streams_per_caller", &too_many_streams(OF_CALLER));
    };
    let Some(of_all) = load.streams.try_acquire(()) else {
        return refuse("streams", &too_many_streams(OF_ALL));
    };
    StreamEnds::of(&request).keep((of_caller, of_all));
    next.run(request).await
}

const OF_CALLER: &str = "you have too many streams open";
const OF_ALL: &str = "too many streams are open";
