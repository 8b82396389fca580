//! Rate limits: of each caller, and of each address for calls without credentials.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

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
    pub(crate) fn of_callers(limits: &RpcLimits) -> Self {
        Self::new(limits.rate, limits.burst)
    }

    /// For probes, and for calls that are denied.
    pub(crate) fn of_anonymous(limits: &RpcLimits) -> Self {
        let burst = limits.anonymous_rate.saturating_mul(ANONYMOUS_BURST);
        Self::new(limits.anonymous_rate, burst)
    }

    fn new(rate: u32, burst: u32) -> Self {
        let quota = NonZeroU32::new(rate).map(|rate| {
            // The check of the limits refuses a burst of 0.
            let burst = NonZeroU32::new(burst).unwrap_or(rate);
            Quota::per_second(rate).allow_burst(burst)
        });
        Self(quota.map(|quota| Arc::new(RateLimiter::keyed(quota))))
    }

    /// Takes a token of a key, or gives the time until there is one.
    pub(super) fn check(&self, key: &ClientKey) -> Result<(), Duration> {
        let Some(buckets) = &self.0 else {
            return Ok(());
        };
        // A full bucket is as good as none. Without this, each new key would take memory for
        // ever.
        if buckets.len() >= MAX_BUCKETS {
            buckets.retain_recent();
        }
        let checked = buckets.check_key(key);
        checked.map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }
}

/// Refuses the call of a caller without tokens, and says when to call again.
/// Probes have a limit of their own, in [`super::auth`].
pub(crate) async fn limit(
    State(rate): State<RateLimits>,
    request: Request,
    next: Next,
) -> Response {
    if CallInfo::of(&request).method.is_probe {
        return next.run(request).await;
    }
    match rate.check(&ClientKey::of(&request)) {
        Ok(()) => next.run(request).await,
        Err(wait) => refuse("rate", &too_fast(wait)),
    }
}

/// More than there are callers.
const MAX_BUCKETS: usize = 10_000;
/// Seconds of calls that an address may make at once after it was quiet.
const ANONYMOUS_BURST: u32 = 2;
