//! Deadlines: at its deadline a call is given up, and the caller is told so.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use http::HeaderMap;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep_until};

use super::arrival::Arrival;
use crate::error::limits::too_late;

/// Drops a call, or the stream that it replies with, at its deadline.
pub(crate) async fn hold(request: Request, next: Next) -> Response {
    let Arrival {
        method, deadline, ..
    } = Arrival::of(&request);
    let Some(deadline) = deadline else {
        return next.run(request).await;
    };
    let late = Deadline::new(deadline);
    let response = tokio::select! {
        biased;
        response = next.run(request) => response,
        () = late => return too_late().into_http(),
    };
    if !method.streams {
        return response;
    }
    response.map(|inner| {
        Body::new(Held {
            inner: Some(inner),
            deadline: Deadline::new(deadline),
        })
    })
}

/// Resolves at a moment. By the clock and not by the timer alone, which may come
/// after tonic's own for the same moment: then tonic would answer.
struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    fn new(at: Instant) -> Self {
        Self {
            at,
            timer: Box::pin(sleep_until(at)),
        }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        match self.timer.as_mut().poll(context) {
            Poll::Pending if Instant::now() < at => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

/// The reply of a stream, up to its deadline.
struct Held {
    inner: Option<Body>,
    deadline: Deadline,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        // First, so that a stream that always has something ends too.
        if Pin::new(&mut this.deadline).poll(context).is_pending() {
            return Pin::new(inner).poll_frame(context);
        }
        this.inner = None;
        let mut trailers = HeaderMap::new();
        let added = too_late().add_header(&mut trailers);
        let end = added.map(|()| Frame::trailers(trailers));
        Poll::Ready(Some(end.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{Router, middleware::from_fn};
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::{Code, Status};
    use tower::ServiceExt as _;

    use super::*;
    use crate::layers::arrival;

    #[tokio::test]
    async fn a_call_is_given_up_at_the_earlier_deadline() {
        let (soon, late) = (Duration::from_millis(50), Duration::from_secs(600));
        for (server, caller) in [(soon, None), (late, Some("50m")), (soon, Some("9M"))] {
            let never = Router::new().fallback(async || std::future::pending::<String>().await);
            let began = Instant::now();
            let response = call(never, UNARY, server, caller).await;
            let took = began.elapsed();
            assert!((soon..late / 2).contains(&took), "it took {took:?}");
            let status = Status::from_header_map(response.headers()).expect("a refusal");
            assert_eq!(status.code(), Code::DeadlineExceeded);
        }
    }

    #[tokio::test]
    async fn a_stream_ends_at_its_callers_deadline_and_at_no_other() {
        let soon = Duration::from_millis(20);
        let mut body = call(endless(), STREAM, soon, None).await.into_body();
        let began = Instant::now();
        while began.elapsed() < 3 * soon {
            let frame = body.frame().await.expect("a frame").expect("data");
            assert!(frame.is_data());
        }
        let reply = call(endless(), STREAM, soon, Some("60m")).await.into_body();
        let all = reply.collect().await.expect("a body");
        let status = Status::from_header_map(all.trailers().expect("trailers"));
        assert_eq!(status.expect("a status").code(), Code::DeadlineExceeded);
    }

    /// Replies with more and more.
    fn endless() -> Router {
        let more = async |()| {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let frame = Frame::data(Bytes::from_static(b"more"));
            Some((Ok::<_, axum::Error>(frame), ()))
        };
        Router::new().fallback(async move || {
            let frames = futures::stream::unfold((), more);
            Body::new(StreamBody::new(Box::pin(frames)))
        })
    }

    async fn call(router: Router, path: &str, server: Duration, caller: Option<&str>) -> Response {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("a path");
        if let Some(timeout) = caller {
            let value = timeout.parse().expect("a value");
            request.headers_mut().insert("grpc-timeout", value);
        }
        let request = arrival::note(server)(request);
        let called = router.layer(from_fn(hold)).oneshot(request).await;
        called.expect("it cannot fail")
    }

    const UNARY: &str = "/viridian.deployment.v1.DeploymentService/GetDeployment";
    const STREAM: &str = "/viridian.deployment.v1.TrafficService/WatchTraffic";
}
