//! The rate limit of each caller.

use std::{num::NonZeroU32, sync::Arc};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    state::keyed::HashMapStateStore,
};

use super::{call_info::CallInfo, client_key::ClientKey, refused::refuse};
use crate::{error::limits::too_fast, rpc_limits::RpcLimits};

/// A token bucket for each caller. Cheap to clone.
#[derive(Clone)]
pub(crate) struct RateLimits(Option<Arc<TokenBuckets>>);

type TokenBuckets = RateLimiter<ClientKey, HashMapStateStore<ClientKey>, DefaultClock>;

impl RateLimits {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        let quota = NonZeroU32::new(limits.rate).map(|rate| {
            // The check of the limits refuses a burst of 0.
            let burst = NonZeroU32::new(limits.burst).unwrap_or(rate);
            Quota::per_second(rate).allow_burst(burst)
        });
        Self(quota.map(|quota| Arc::new(RateLimiter::keyed(quota))))
    }
}

/// Refuses the call of a caller without tokens, and says when to call again.
/// Health checks do not count.
pub(crate) async fn limit(
    State(rate): State<RateLimits>,
    request: Request,
    next: Next,
) -> Response {
    let Some(buckets) = rate.0.filter(|_| !CallInfo::of(&request).method.is_probe) else {
        return next.run(request).await;
    };
    // A full bucket is as good as none. Without this, each new key would take memory for
    // ever.
    if buckets.len() >= MAX_BUCKETS {
        buckets.retain_recent();
    }
    match buckets.check_key(&ClientKey::of(&request)) {
        Ok(()) => next.run(request).await,
        Err(until) => {
            let wait = until.wait_time_from(DefaultClock::default().now());
            refuse("rate", &too_fast(wait))
        }
    }
}

/// More than there are callers.
const MAX_BUCKETS: usize = 10_000;
