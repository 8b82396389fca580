//! Deadlines: a call that reaches its deadline is dropped, and ends with
//! DEADLINE_EXCEEDED.

use axum::{extract::Request, middleware::Next, response::Response};
use futures::FutureExt as _;
use tokio::time::sleep_until;

use super::{call_info::CallInfo, stream_ends::StreamEnds};
use crate::error::limits::too_late;

/// Drops a call, or the stream that it replies with, at its deadline.
pub(crate) async fn enforce(request: Request, next: Next) -> Response {
    let CallInfo {
        method, deadline, ..
    } = CallInfo::of(&request);
    let Some(deadline) = deadline else {
        return next.run(request).await;
    };
    if method.streams {
        // The select below ends with the headers of the reply.
        // What follows them has the same deadline.
        let late = sleep_until(deadline).map(|()| too_late());
        StreamEnds::of(&request).end_when(late);
    }
    tokio::select! {
        // A reply that is ready at the deadline counts: it may have been committed.
        biased;
        response = next.run(request) => response,
        () = sleep_until(deadline) => too_late().into_http(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        Router,
        body::{Body, Bytes},
        middleware::{from_fn, from_fn_with_state},
    };
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;
    use tonic::{Code, Status};
    use tower::ServiceExt as _;

    use super::*;
    use crate::layers::{
        call_info,
        observe::{StreamShutdown, observe},
    };

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
        let request = call_info::record(server)(request);
        let observed = from_fn_with_state(StreamShutdown(CancellationToken::new()), observe);
        let router = router.layer(from_fn(enforce)).layer(observed);
        let called = router.oneshot(request).await;
        called.expect("it cannot fail")
    }

    const UNARY: &str = "/viridian.deployment.v1.DeploymentService/GetDeployment";
    const STREAM: &str = "/viridian.deployment.v1.TrafficService/WatchTraffic";
}
