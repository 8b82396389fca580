//! When and how a call ends: with a refusal, at the end of its reply, or when
//! the caller goes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use http_body::{Frame, SizeHint};
use tonic::Status;
use tracing::Span;

/// Tells once how a call ends. A call that is dropped before its end is
/// cancelled.
pub(crate) struct Ending<F: FnOnce(&Status)>(Option<F>);

impl<F: FnOnce(&Status)> Ending<F> {
    pub(crate) fn new(tell: F) -> Self {
        Self(Some(tell))
    }

    /// Tells nothing.
    pub(crate) fn keep_quiet(&mut self) {
        self.0 = None;
    }

    fn tell(&mut self, status: &Status) {
        if let Some(tell) = self.0.take() {
            tell(status);
        }
    }
}

impl<F: FnOnce(&Status)> Drop for Ending<F> {
    fn drop(&mut self) {
        self.tell(&Status::cancelled("the caller has gone"));
    }
}

/// Follows a reply to its end. What happens on the way happens in the span.
pub(crate) fn follow<F>(response: Response, mut ending: Ending<F>, span: Span) -> Response
where
    F: FnOnce(&Status) + Send + Unpin + 'static,
{
    if let Some(status) = Status::from_header_map(response.headers()) {
        ending.tell(&status);
        return response;
    }
    response.map(|inner| {
        Body::new(Followed {
            inner,
            ending,
            span,
        })
    })
}

struct Followed<F: FnOnce(&Status)> {
    inner: Body,
    ending: Ending<F>,
    span: Span,
}

impl<F: FnOnce(&Status) + Unpin> HttpBody for Followed<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let _entered = this.span.enter();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                let trailers = frame.trailers_ref();
                if let Some(status) = trailers.and_then(Status::from_header_map) {
                    this.ending.tell(&status);
                }
            }
            Some(Err(_)) | None => this.ending.tell(&Status::unknown("a reply without an end")),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use http::HeaderMap;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;

    type Told = Arc<Mutex<Vec<Code>>>;

    #[tokio::test]
    async fn a_reply_ends_with_its_trailers() {
        let told = Told::default();
        let body = followed(reply([data(), trailers(Code::Aborted)]), &told);
        assert_eq!(codes(&told), []);
        body.collect().await.expect("a body");
        assert_eq!(codes(&told), [Code::Aborted]);
    }

    #[test]
    fn a_refusal_ends_at_once() {
        let told = Told::default();
        let refused = Status::not_found("").into_http::<Body>();
        drop(followed(refused, &told));
        assert_eq!(codes(&told), [Code::NotFound]);
    }

    #[tokio::test]
    async fn a_caller_that_goes_ends_it() {
        let told = Told::default();
        let mut body = followed(reply([data(), trailers(Code::Ok)]), &told);
        body.frame().await.expect("a frame").expect("data");
        drop(body);
        assert_eq!(codes(&told), [Code::Cancelled]);
    }

    fn followed(response: Response, told: &Told) -> Body {
        let told = Arc::clone(told);
        let ending = Ending::new(move |status: &Status| {
            told.lock().expect("no panic").push(status.code());
        });
        follow(response, ending, Span::none()).into_body()
    }

    fn reply<const N: usize>(frames: [Frame<Bytes>; N]) -> Response {
        let frames = frames.map(Ok::<_, axum::Error>);
        Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))))
    }

    fn data() -> Frame<Bytes> {
        Frame::data(Bytes::from_static(b"some"))
    }

    fn trailers(code: Code) -> Frame<Bytes> {
        let mut trailers = HeaderMap::new();
        let added = Status::new(code, "").add_header(&mut trailers);
        added.expect("a status is made of headers");
        Frame::trailers(trailers)
    }

    fn codes(told: &Told) -> Vec<Code> {
        told.lock().expect("no panic").clone()
    }
}
