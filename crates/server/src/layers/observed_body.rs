//! The body of every reply. It sees the end of the call, and can end it early: at the
//! deadline, when the caller's credentials are revoked, when the server shuts down, after
//! a panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::{Body, Bytes, HttpBody};
use futures::future::{BoxFuture, FutureExt as _};
use http::HeaderMap;
use http_body::Frame;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{call_report::CallReport, complete, panics, stream_ends::EndConditions};
use crate::error::{foreign, shutting_down};

/// A reply until its end.
pub(crate) struct ObservedBody {
    /// None once the reply was ended from here: nothing of it is sent any more.
    inner: Option<Body>,
    report: CallReport,
    conditions: EndConditions,
    /// Resolves when the server shuts down. None for a reply that ends by itself.
    shutdown: Option<BoxFuture<'static, ()>>,
}

type FramePoll = Poll<Option<Result<Frame<Bytes>, axum::Error>>>;

impl ObservedBody {
    pub(crate) fn new(
        inner: Body,
        report: CallReport,
        conditions: EndConditions,
        stop: Option<CancellationToken>,
    ) -> Self {
        Self {
            inner: Some(inner),
            report,
            conditions,
            shutdown: stop.map(|stop| stop.cancelled_owned().boxed()),
        }
    }

    fn poll_reply(&mut self, context: &mut Context<'_>) -> FramePoll {
        // Before the reply: a stream that always has something more has to end too.
        for end in &mut self.conditions.early {
            if let Poll::Ready(status) = end.poll_unpin(context) {
                return self.end_with(&status);
            }
        }
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let poll = AssertUnwindSafe(|| Pin::new(inner).poll_frame(context));
        match catch_unwind(poll) {
            Ok(Poll::Ready(frame)) => Poll::Ready(frame.map(|it| it.map(amend_trailers))),
            // After the reply: what it has to say of the shutdown is sent first.
            Ok(Poll::Pending) => {
                let shutdown = self.shutdown.as_mut();
                ready!(shutdown.map_or(Poll::Pending, |it| it.poll_unpin(context)));
                self.end_with(&shutting_down())
            }
            Err(panic) => {
                let status = panics::report(self.report.method(), &*panic);
                self.end_with(&status)
            }
        }
    }

    /// Ends the reply with a status.
    fn end_with(&mut self, status: &Status) -> FramePoll {
        self.inner = None;
        // A future that has resolved must not be polled again.
        self.conditions = EndConditions::default();
        self.shutdown = None;
        let mut trailers = HeaderMap::new();
        let added = status.add_header(&mut trailers);
        let end = added.map(|()| Frame::trailers(trailers));
        Poll::Ready(Some(end.map_err(axum::Error::new)))
    }
}

impl HttpBody for ObservedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> FramePoll {
        let this = &mut *self;
        let span = this.report.span.clone();
        let _entered = span.enter();
        let frame = ready!(this.poll_reply(context));
        match &frame {
            Some(Ok(frame)) => {
                let trailers = frame.trailers_ref();
                if let Some(status) = trailers.and_then(Status::from_header_map) {
                    this.report.end(&status);
                }
            }
            // After trailers this changes nothing. Without them the caller sees UNKNOWN too.
            Some(Err(_)) | None => this.report.end(&Status::unknown("a reply without an end")),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
}

fn amend_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            complete::amend(&mut trailers, foreign::ending);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
