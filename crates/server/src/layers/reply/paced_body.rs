//! A reply that is handed out in slices, and can be ended while it is not taken.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes, HttpBody};
use http::HeaderMap;
use http_body::Frame;
use tokio::time::Instant;
use tonic::Status;

use super::budget::ReplyPermit;
use crate::{error::reply_not_taken, rpc_limits::SEND_BUFFER};

/// The body of a reply. The sweep has it as well.
pub(super) struct PacedBody(Arc<Mutex<PacedReply>>);

/// A reply that is under way.
pub(super) struct PacedReply {
    /// None once it was ended from here.
    inner: Option<Body>,
    /// What is left of the message that is being handed out.
    rest: Bytes,
    /// Since when its caller has yet to take something. None while the caller waits for it.
    offered_at: Option<Instant>,
    /// How many bytes were handed out last.
    offered: usize,
    permit: Option<ReplyPermit>,
    ending: Option<Status>,
}

impl PacedBody {
    pub(super) fn new(inner: Body, permit: Option<ReplyPermit>) -> Self {
        Self(Arc::new(Mutex::new(PacedReply {
            inner: Some(inner),
            rest: Bytes::new(),
            offered_at: None,
            offered: 0,
            permit,
            ending: None,
        })))
    }

    pub(super) fn downgrade(&self) -> Weak<Mutex<PacedReply>> {
        Arc::downgrade(&self.0)
    }
}

impl PacedReply {
    /// Ends it if nothing of it was taken for too long, and gives what it held.
    pub(super) fn end_if_untaken(&mut self, now: Instant, timeout: Duration) -> Option<EndedReply> {
        let offered_at = self.offered_at?;
        if now.saturating_duration_since(offered_at) < timeout {
            return None;
        }
        self.end()
    }

    /// Since when a stream has something for its caller to take, and how many bytes of that the
    /// server holds at most. Lists have a budget of their own.
    pub(super) fn untaken(&self) -> Option<(Instant, usize)> {
        let offered_at = self.offered_at.filter(|_| self.permit.is_none())?;
        // What was handed out before may be in the buffer of HTTP/2 still.
        Some((offered_at, self.offered + self.rest.len() + SEND_BUFFER))
    }

    /// Ends it, and gives what it held.
    pub(super) fn end(&mut self) -> Option<EndedReply> {
        let inner = self.inner.take()?;
        tracing::info!("a reply is ended: it is not taken");
        self.rest = Bytes::new();
        self.offered_at = None;
        self.ending = Some(reply_not_taken());
        Some((inner, self.permit.take()))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> FramePoll {
        // To be polled is a sign that what was offered before is taken.
        self.offered_at = None;
        if let Some(status) = self.ending.take() {
            return Poll::Ready(Some(trailers(&status)));
        }
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_slice())));
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let frame = ready!(Pin::new(inner).poll_frame(context));
        let frame = frame.map(|frame| {
            frame.map(|frame| match frame.into_data() {
                Ok(data) => self.begin_message(data),
                Err(other) => other,
            })
        });
        Poll::Ready(frame)
    }

    fn begin_message(&mut self, data: Bytes) -> Frame<Bytes> {
        // Now its size is known, so others may have the rest of what was reserved.
        if let Some(permit) = &mut self.permit {
            permit.shrink_to(data.len());
        }
        self.rest = data;
        self.next_slice()
    }

    fn next_slice(&mut self) -> Frame<Bytes> {
        self.offered_at = Some(Instant::now());
        self.offered = self.rest.len().min(MAX_SLICE);
        if self.rest.len() <= MAX_SLICE {
            return Frame::data(std::mem::take(&mut self.rest));
        }
        // A copy: a part of `rest` would keep all of it in memory until it is sent.
        let slice = Bytes::copy_from_slice(&self.rest[..MAX_SLICE]);
        self.rest = self.rest.slice(MAX_SLICE..);
        Frame::data(slice)
    }
}

/// What a reply held: dropped once no lock is held.
pub(super) type EndedReply = (Body, Option<ReplyPermit>);

type FramePoll = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> FramePoll {
        lock(&self.0).poll(context)
    }

    fn is_end_stream(&self) -> bool {
        let reply = lock(&self.0);
        let is_over = reply.inner.as_ref().is_none_or(HttpBody::is_end_stream);
        is_over && reply.rest.is_empty() && reply.ending.is_none()
    }
}

fn trailers(status: &Status) -> Result<Frame<Bytes>, axum::Error> {
    let mut trailers = HeaderMap::new();
    let added = status.add_header(&mut trailers);
    added.map_err(axum::Error::new)?;
    Ok(Frame::trailers(trailers))
}

/// A panic in a reply is caught around it, so the lock may be poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// About what one HTTP/2 window has by default.
const MAX_SLICE: usize = 64 * 1_024;
