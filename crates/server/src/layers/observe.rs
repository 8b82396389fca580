//! Follows each call to its end: counts it, times it, logs how it ended, and makes an
//! INTERNAL error of a panic.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    call_info::CallInfo, call_report::CallReport, complete, observed_body::ObservedBody, panics,
    refused::LimitRefusal, stream_ends::StreamEnds,
};
use crate::{
    error::{connection_aged, foreign},
    live_connection::LiveConnection,
};

/// Ends streams once it is cancelled.
#[derive(Clone)]
pub(crate) struct StreamShutdown(pub(crate) CancellationToken);

/// Observes a call from its arrival to the end of its reply.
pub(crate) async fn observe(
    State(stop): State<StreamShutdown>,
    mut request: Request,
    next: Next,
) -> Response {
    let call = CallInfo::of(&request);
    let connection = request.extensions().get::<Arc<LiveConnection>>().cloned();
    let mut report = CallReport::begin(call, connection.as_ref(), request.extensions().get());
    // Only for streams: a unary call pays for nothing that it does not need.
    let ends = call.method.streams.then(StreamEnds::default);
    if let Some(ends) = &ends {
        if let Some(connection) = connection.clone() {
            ends.end_when(async move {
                connection.expired().await;
                connection_aged()
            });
        }
        request.extensions_mut().insert(ends.clone());
    }
    let replied = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    let mut response =
        replied.unwrap_or_else(|panic| panics::report(call.method, &*panic).into_http());
    // Not earlier: the layers inside add to it until they reply.
    let conditions = ends.map(|ends| ends.take()).unwrap_or_default();
    if response.extensions().get::<LimitRefusal>().is_some() {
        // It is counted. A line each would be a flood on top of a flood.
        report.is_logged = false;
        close_if_stalled(connection.as_deref());
    }
    if complete::is_refusal(response.headers()) {
        complete::amend(response.headers_mut(), foreign::refusal);
        // There is no body to observe: without this, the drop
        // of the report would count it as cancelled.
        if let Some(status) = Status::from_header_map(response.headers()) {
            report.end(&status);
        }
        return response;
    }
    let stop = call.method.streams.then_some(stop.0);
    response.map(|inner| Body::new(ObservedBody::new(inner, report, conditions, stop)))
}

/// Closes a connection that goes on calling beyond its limits, and does not read what it
/// is answered: the refusals would pile up.
fn close_if_stalled(connection: Option<&LiveConnection>) {
    if let Some(connection) = connection
        && connection.stalled_since().is_some()
    {
        connection.close();
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Bytes, middleware::from_fn_with_state};
    use futures::stream;
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::{BodyExt as _, StreamBody};
    use metrics_exporter_prometheus::PrometheusHandle;
    use tower::ServiceExt as _;

    use tonic::Code;

    use super::*;
    use crate::{layers::call_info, metrics as names};

    #[tokio::test]
    async fn a_call_ends_with_its_trailers_or_its_refusal_or_when_the_caller_goes() {
        let ended = Ended::start();
        let mut body = call(async || frames([data(), trailers(Code::Aborted)])).await;
        assert_eq!(ended.count("ABORTED"), 0, "it goes on");
        while body.frame().await.is_some() {}
        assert_eq!(ended.count("ABORTED"), 1);
        drop(call(async || Status::not_found("").into_http::<Body>()).await);
        assert_eq!(ended.count("NOT_FOUND"), 1);
        let mut body = call(async || frames([data(), trailers(Code::Ok)])).await;
        body.frame().await.expect("a frame").expect("data");
        drop(body);
        assert_eq!(ended.count("CANCELLED"), 1);
    }

    #[tokio::test]
    async fn a_call_that_panics_is_an_internal_error() {
        let response = respond(async || -> String { panic!("a secret") }).await;
        let status = Status::from_header_map(response.headers()).expect("a refusal");
        assert_internal(&status);
    }

    #[tokio::test]
    async fn a_stream_that_panics_ends_with_an_internal_error() {
        let frames = async |count| match count {
            0 => Some((Ok::<_, axum::Error>(data()), 1)),
            _ => panic!("a secret"),
        };
        let stream = async move || {
            let frames = stream::unfold(0, frames);
            Body::new(StreamBody::new(Box::pin(frames)))
        };
        let mut body = call(stream).await;
        let first = body.frame().await.expect("a frame").expect("data");
        assert!(first.is_data());
        let last = body.frame().await.expect("a frame").expect("trailers");
        let trailers = last.into_trailers().expect("trailers");
        assert_internal(&Status::from_header_map(&trailers).expect("a status"));
        assert!(body.frame().await.is_none(), "nothing comes after it");
    }

    #[tokio::test]
    async fn a_stream_ends_at_the_shutdown_after_what_it_has_to_say() {
        let stop = CancellationToken::new();
        let endless = async || {
            let frames = stream::iter([Ok::<_, axum::Error>(data())]);
            let frames = futures::StreamExt::chain(frames, stream::pending());
            Body::new(StreamBody::new(frames))
        };
        stop.cancel();
        let mut body = respond_until(endless, stop).await.into_body();
        let first = body.frame().await.expect("a frame").expect("data");
        assert!(first.is_data());
        let last = body.frame().await.expect("a frame").expect("trailers");
        let trailers = last.into_trailers().expect("trailers");
        let status = Status::from_header_map(&trailers).expect("a status");
        assert_eq!(status.code(), Code::Unavailable);
    }

    /// How calls of the method ended in this process.
    struct Ended(PrometheusHandle);

    impl Ended {
        fn start() -> Self {
            Self(names::install().expect("nothing else records here"))
        }

        fn count(&self, code: &str) -> u32 {
            let page = self.0.render();
            let line = page.lines().find(|line| {
                line.starts_with(names::RPC_HANDLED)
                    && line.contains("WatchAssignments")
                    && line.contains(code)
            });
            let count = line.and_then(|line| line.rsplit_once(' '));
            count.map_or(0, |(_, count)| count.parse().expect("a count"))
        }
    }

    async fn call<H, T>(handler: H) -> Body
    where
        H: axum::handler::Handler<T, ()>,
        T: 'static,
    {
        respond(handler).await.into_body()
    }

    async fn respond<H, T>(handler: H) -> Response
    where
        H: axum::handler::Handler<T, ()>,
        T: 'static,
    {
        respond_until(handler, CancellationToken::new()).await
    }

    async fn respond_until<H, T>(handler: H, stop: CancellationToken) -> Response
    where
        H: axum::handler::Handler<T, ()>,
        T: 'static,
    {
        let observed = from_fn_with_state(StreamShutdown(stop), observe);
        let router = Router::new().fallback(handler).layer(observed);
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = STREAM.parse().expect("a path");
        let request = call_info::record(std::time::Duration::from_secs(60))(request);
        router.oneshot(request).await.expect("it cannot fail")
    }

    fn frames<const N: usize>(frames: [Frame<Bytes>; N]) -> Body {
        let frames = frames.map(Ok::<_, axum::Error>);
        Body::new(StreamBody::new(stream::iter(frames)))
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

    fn assert_internal(status: &Status) {
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"), "{status:?}");
        assert!(!status.details().is_empty(), "an ErrorInfo");
    }

    const STREAM: &str = "/viridian.deployment.v1.RouteService/WatchAssignments";
}
