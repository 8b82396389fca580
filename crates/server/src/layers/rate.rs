//! How often each caller may call.

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

use super::{arrival::Arrival, refused::refuse, share::Share};
use crate::{error::limits::too_fast, rpc_limits::RpcLimits};

/// How often each caller may call. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Rate(Option<Arc<Buckets>>);

type Buckets = RateLimiter<Share, HashMapStateStore<Share>, DefaultClock>;

impl Rate {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        let quota = NonZeroU32::new(limits.rate).map(|rate| {
            let burst = NonZeroU32::new(limits.burst).unwrap_or(rate);
            Quota::per_second(rate).allow_burst(burst)
        });
        Self(quota.map(|quota| Arc::new(RateLimiter::keyed(quota))))
    }
}

/// Refuses the call of one that calls too often, and says when it may again.
/// Health checks are not counted.
pub(crate) async fn keep(State(rate): State<Rate>, request: Request, next: Next) -> Response {
    let Some(buckets) = rate.0.filter(|_| !Arrival::of(&request).method.probes) else {
        return next.run(request).await;
    };
    // Who was quiet for a while is as one that never called.
    if buckets.len() >= MOST {
        buckets.retain_recent();
    }
    match buckets.check_key(&Share::of(&request)) {
        Ok(()) => next.run(request).await,
        Err(until) => {
            let wait = until.wait_time_from(DefaultClock::default().now());
            refuse("rate", &too_fast(wait))
        }
    }
}

/// More callers than there are.
const MOST: usize = 10_000;
