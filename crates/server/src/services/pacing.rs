//! How a stream is paced: heartbeats while it is quiet, and an end when the server
//! stops.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, sleep_until};
use tonic::Status;

use crate::{
    convert::time::timestamp,
    error::{shutting_down, store},
    scope::Scope,
};

/// Paces one stream.
pub(super) struct StreamPacer {
    scope: Scope,
    last_sent: Instant,
}

/// What a stream does next.
pub(super) enum StreamTurn<T> {
    /// Sends what it waited for.
    Ready(T),
    /// Sends a heartbeat with this time.
    Heartbeat(prost_types::Timestamp),
}

impl StreamPacer {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            last_sent: Instant::now(),
        }
    }

    /// Waits for `next`, or until a heartbeat is due. A heartbeat does not drop `next`:
    /// one that takes longer than the interval would never be ready.
    pub(super) async fn next<T>(
        &mut self,
        next: Pin<&mut impl Future<Output = T>>,
    ) -> Result<StreamTurn<T>, Status> {
        tokio::select! {
            // First, so that a stream that always has something to send ends too.
            biased;
            () = self.scope.stopping() => return Err(shutting_down()),
            ready = next => return Ok(StreamTurn::Ready(ready)),
            () = sleep_until(self.last_sent + HEARTBEAT_INTERVAL) => {}
        }
        // The heartbeat vouches for the database too: without it the stream ends.
        let now = self.scope.feeds().clock().now().await;
        let now = now.map_err(|error| store(&error))?;
        self.note_sent();
        Ok(StreamTurn::Heartbeat(timestamp(now)))
    }

    /// Notes that a message was sent.
    pub(super) fn note_sent(&mut self) {
        self.last_sent = Instant::now();
    }
}

/// How long a stream sends nothing at most.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
