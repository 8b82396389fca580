//! Replies until their callers have taken them: how many bytes of them the server holds, of one
//! caller and in all, and for how long none of them may be taken.
//!
//! HTTP/2 lets a caller stop reading a reply and go on calling. A reply is asked for more only
//! when the caller has room, so what it has no room for stays here, in slices. Nothing is polled
//! meanwhile, not even the conditions that end a stream: a sweep ends those that wait too long.

mod budget;
mod paced_body;
mod untaken;

use std::{
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use tokio::time::{Instant, sleep};

use self::{
    budget::{ReplyBudget, ReplyPermit},
    paced_body::{PacedBody, PacedReply, lock},
    untaken::UntakenStreams,
};
use super::{call_info::CallInfo, client_key::ClientKey, complete, refused::refuse};
use crate::{
    error::limits::too_many_replies, keyed_semaphore::KeyedSemaphore, rpc_limits::RpcLimits,
};

/// Limits on replies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ReplyLimits {
    budget: ReplyBudget,
    waiting: KeyedSemaphore<ClientKey>,
    timeout: Duration,
    /// Bytes of streams that their callers have yet to take.
    stream_memory: usize,
    /// Those that may have to be ended.
    replies: Arc<Mutex<Vec<HeldReply>>>,
}

/// A reply under way.
struct HeldReply {
    caller: ClientKey,
    reply: Weak<Mutex<PacedReply>>,
}

impl ReplyLimits {
    pub(crate) fn new(limits: &RpcLimits) -> Self {
        Self {
            budget: ReplyBudget::new(limits.reply_memory, limits.reply_memory_per_caller),
            waiting: KeyedSemaphore::new(MAX_WAITING),
            timeout: limits.reply_timeout,
            stream_memory: usize::try_from(limits.reply_memory).unwrap_or(usize::MAX),
            replies: Arc::default(),
        }
    }

    /// Ends replies that are not taken, for ever.
    pub(crate) async fn sweep(self) {
        loop {
            sleep(SWEEP_INTERVAL).await;
            self.end_untaken(Instant::now());
        }
    }

    fn end_untaken(&self, now: Instant) {
        let (mut ended, mut untaken) = (Vec::new(), UntakenStreams::default());
        lock(&self.replies).retain(|held| {
            let Some(reply) = held.reply.upgrade() else {
                // It was taken whole, or its connection has ended.
                return false;
            };
            let waiting = {
                let mut reply = lock(&reply);
                ended.extend(reply.end_if_untaken(now, self.timeout));
                reply.untaken()
            };
            if let Some(waiting) = waiting {
                untaken.add(&held.caller, waiting, reply);
            }
            true
        });
        ended.extend(untaken.end_beyond(self.stream_memory, now));
        // Outside of the locks: what a stream holds has locks of its own.
        drop(ended);
    }

    /// Waits for room for a reply; none when too many calls of the caller wait already.
    async fn reserve(&self, key: ClientKey) -> Option<ReplyPermit> {
        let _waiting = self.waiting.try_acquire(key.clone())?;
        Some(self.budget.reserve(key).await)
    }

    /// Holds a reply until it is taken.
    fn hold(&self, caller: ClientKey, inner: Body, permit: Option<ReplyPermit>) -> Body {
        let body = PacedBody::new(inner, permit);
        let reply = body.downgrade();
        lock(&self.replies).push(HeldReply { caller, reply });
        Body::new(body)
    }
}

/// Has lists wait for room, and holds them and streams until they are taken. Other replies are
/// small, and are made of one row.
pub(crate) async fn limit(
    State(limits): State<ReplyLimits>,
    request: Request,
    next: Next,
) -> Response {
    let method = CallInfo::of(&request).method;
    let caller = ClientKey::of(&request);
    // Before the call is made: what is read from the database is held from then on.
    let permit = match method.gives_pages() {
        true => match limits.reserve(caller.clone()).await {
            Some(permit) => Some(permit),
            None => return refuse("replies_per_caller", &too_many_replies()),
        },
        false => None,
    };
    let response = next.run(request).await;
    // A refusal is small, and is all that a caller who takes nothing may still get.
    let is_held = method.streams || permit.is_some();
    match is_held && !complete::is_refusal(response.headers()) {
        true => response.map(|inner| limits.hold(caller, inner, permit)),
        false => response,
    }
}

/// Calls of one caller that wait for room.
const MAX_WAITING: u32 = 128;
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
