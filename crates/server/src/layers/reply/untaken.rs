//! Streams that wait for their callers, by caller: beyond a number of bytes in all, the caller
//! who holds most loses the one that has waited longest.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    ClientKey,
    paced_body::{EndedReply, PacedReply, lock},
};

/// What all streams hold that their callers have yet to take.
#[derive(Default)]
pub(super) struct UntakenStreams {
    callers: HashMap<ClientKey, CallerStreams>,
    bytes: usize,
}

#[derive(Default)]
struct CallerStreams {
    bytes: usize,
    waiting: Vec<WaitingStream>,
}

struct WaitingStream {
    since: Instant,
    bytes: usize,
    reply: Arc<Mutex<PacedReply>>,
}

impl UntakenStreams {
    pub(super) fn add(
        &mut self,
        caller: &ClientKey,
        (since, bytes): (Instant, usize),
        reply: Arc<Mutex<PacedReply>>,
    ) {
        self.bytes += bytes;
        let caller = self.callers.entry(caller.clone()).or_default();
        caller.bytes += bytes;
        caller.waiting.push(WaitingStream {
            since,
            bytes,
            reply,
        });
    }

    /// Ends streams until the rest holds no more than the limit. Gives what they held.
    pub(super) fn end_beyond(mut self, limit: usize, now: Instant) -> Vec<EndedReply> {
        let mut ended = Vec::new();
        if self.bytes <= limit {
            return ended;
        }
        for caller in self.callers.values_mut() {
            caller.waiting.sort_by_key(|it| Reverse(it.since));
        }
        while self.bytes > limit {
            // Of the one who holds most: who floods the server ends its own streams, and not
            // those of a caller that is only slow.
            let most = self.callers.values_mut().max_by_key(|it| it.bytes);
            let Some((most, oldest)) = most.and_then(|it| it.waiting.pop().map(|at| (it, at)))
            else {
                break;
            };
            // A message that is on its way is not one that waits. The next look comes soon.
            if now.saturating_duration_since(oldest.since) < MIN_PATIENCE {
                break;
            }
            most.bytes -= oldest.bytes;
            self.bytes -= oldest.bytes;
            ended.extend(lock(&oldest.reply).end());
        }
        ended
    }
}

const MIN_PATIENCE: Duration = Duration::from_secs(1);
