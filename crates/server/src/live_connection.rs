//! What is known of one connection while it is open.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// One open connection. In the extensions of each request that comes from there.
#[derive(Debug)]
pub(crate) struct LiveConnection {
    /// Calls under way, from the arrival to the end of the reply.
    calls: watch::Sender<usize>,
    /// Streams that are open.
    streams: AtomicU32,
    /// Bytes read after the handshake of TLS, up to [`FIRST_FRAME`].
    read: watch::Sender<usize>,
    /// Since when the peer has taken nothing of what is to be sent.
    stalled_since: Mutex<Option<Instant>>,
    /// Cancelled when the connection is older than it may be, and its grace is over.
    expired: CancellationToken,
    /// Cancelled when the connection is to be closed at once.
    closed: CancellationToken,
}

/// Counts a call of a connection until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionCall(Arc<LiveConnection>);

/// Counts a stream of a connection until it is dropped.
#[derive(Debug)]
pub(crate) struct StreamOfConnection(Arc<LiveConnection>);

impl LiveConnection {
    pub(crate) fn new() -> Self {
        Self {
            calls: watch::Sender::new(0),
            streams: AtomicU32::new(0),
            read: watch::Sender::new(0),
            stalled_since: Mutex::new(None),
            expired: CancellationToken::new(),
            closed: CancellationToken::new(),
        }
    }

    /// Notes that bytes came.
    pub(crate) fn note_read(&self, bytes: usize) {
        if *self.read.borrow() < FIRST_FRAME {
            self.read.send_modify(|read| *read += bytes);
        }
    }

    /// Notes whether the peer takes what is sent.
    pub(crate) fn note_write(&self, is_taken: bool) {
        let mut since = self.stalled();
        if is_taken {
            *since = None;
        } else if since.is_none() {
            *since = Some(Instant::now());
        }
    }

    /// Since when the peer has taken nothing of what is to be sent. None: nothing waits.
    pub(crate) fn stalled_since(&self) -> Option<Instant> {
        *self.stalled()
    }

    /// Resolves when the peer has sent its preface and the first frame.
    pub(crate) async fn begun(&self) {
        let mut read = self.read.subscribe();
        // It fails when the sender is gone, which is here.
        let _ = read.wait_for(|read| *read >= FIRST_FRAME).await;
    }

    /// Counts a call until what it returns is dropped.
    pub(crate) fn count_call(self: &Arc<Self>) -> ConnectionCall {
        self.calls.send_modify(|calls| *calls += 1);
        ConnectionCall(Arc::clone(self))
    }

    /// Counts a stream until what it returns is dropped, unless there are this many.
    pub(crate) fn try_count_stream(self: &Arc<Self>, limit: u32) -> Option<StreamOfConnection> {
        let counted = |count| (count < limit).then_some(count + 1);
        self.streams
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted)
            .ok()
            .map(|_| StreamOfConnection(Arc::clone(self)))
    }

    pub(crate) fn has_calls(&self) -> bool {
        *self.calls.borrow() > 0
    }

    /// Resolves when no call was under way for a while.
    pub(crate) async fn idle_for(&self, pause: Duration) {
        let mut calls = self.calls.subscribe();
        loop {
            let _ = calls.wait_for(|calls| *calls == 0).await;
            // A reply that has ended is not yet sent: without the pause it would be cut off.
            if timeout(pause, calls.wait_for(|calls| *calls > 0))
                .await
                .is_err()
            {
                return;
            }
        }
    }

    /// Ends the streams of the connection: its age and its grace are over.
    pub(crate) fn expire(&self) {
        self.expired.cancel();
    }

    /// Resolves when the age and the grace of the connection are over.
    pub(crate) async fn expired(&self) {
        self.expired.cancelled().await;
    }

    /// Has the connection closed at once.
    pub(crate) fn close(&self) {
        self.closed.cancel();
    }

    /// Resolves when the connection is to be closed at once.
    pub(crate) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    fn stalled(&self) -> MutexGuard<'_, Option<Instant>> {
        self.stalled_since
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionCall {
    fn drop(&mut self) {
        self.0.calls.send_modify(|calls| *calls -= 1);
    }
}

impl Drop for StreamOfConnection {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The preface of HTTP/2 and the header of one frame. A request line of HTTP/1.1 with a
/// host is longer.
const FIRST_FRAME: usize = 24 + 9;
