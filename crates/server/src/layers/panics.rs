//! Panics: caught, logged and counted, and INTERNAL for the caller. The server
//! lives on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use futures::FutureExt as _;
use http::HeaderMap;
use http_body::Frame;
use metrics::counter;
use tonic::Status;

use super::{arrival::Arrival, method::Method};
use crate::{error::limits::panicked, metrics::RPC_PANICS};

/// Catches what panics in a call, and in the stream that it replies with.
///
/// Not tower-http's layer: that does not look at the stream.
pub(crate) async fn catch(request: Request, next: Next) -> Response {
    let Arrival { method, .. } = Arrival::of(&request);
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response.map(|body| {
            Body::new(Caught {
                inner: Some(body),
                method,
            })
        }),
        Err(panic) => report(method, &*panic).into_http(),
    }
}

/// A reply. After a panic there is no more to be had of it.
struct Caught {
    inner: Option<Body>,
    method: &'static Method,
}

impl HttpBody for Caught {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        let poll = AssertUnwindSafe(|| Pin::new(inner).poll_frame(context));
        catch_unwind(poll).unwrap_or_else(|panic| {
            self.inner = None;
            let mut trailers = HeaderMap::new();
            let added = report(self.method, &*panic).add_header(&mut trailers);
            let end = added.map(|()| Frame::trailers(trailers));
            Poll::Ready(Some(end.map_err(axum::Error::new)))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
}

fn report(method: &Method, panic: &(dyn Any + Send)) -> Status {
    let words = panic.downcast_ref::<String>().map(String::as_str);
    let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        method = method.name,
        what = words.unwrap_or("no message"),
        "a call panicked"
    );
    counter!(RPC_PANICS).increment(1);
    panicked()
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn};
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_call_that_panics_is_an_internal_error() {
        let router = Router::new()
            .fallback(async || -> String { panic!("a secret") })
            .layer(from_fn(catch));
        let response = call(router).await;
        let status = Status::from_header_map(response.headers()).expect("a refusal");
        assert_internal(&status);
    }

    #[tokio::test]
    async fn a_stream_that_panics_ends_with_an_internal_error() {
        let frames = async |count| match count {
            0 => Some((
                Ok::<_, axum::Error>(Frame::data(Bytes::from_static(b"one"))),
                1,
            )),
            _ => panic!("a secret"),
        };
        let stream = async move || {
            let frames = stream::unfold(0, frames);
            Body::new(StreamBody::new(Box::pin(frames)))
        };
        let router = Router::new().fallback(stream).layer(from_fn(catch));
        let mut body = call(router).await.into_body();
        let first = body.frame().await.expect("a frame").expect("data");
        assert_eq!(first.into_data().ok(), Some(Bytes::from_static(b"one")));
        let last = body.frame().await.expect("a frame").expect("trailers");
        let trailers = last.into_trailers().expect("trailers");
        assert_internal(&Status::from_header_map(&trailers).expect("a status"));
        assert!(body.frame().await.is_none(), "nothing comes after it");
    }

    async fn call(router: Router) -> Response {
        let request = Request::new(Body::empty());
        router.oneshot(request).await.expect("it cannot fail")
    }

    fn assert_internal(status: &Status) {
        assert_eq!(status.code(), Code::Internal);
        assert!(!status.message().contains("secret"), "{status:?}");
        assert!(!status.details().is_empty(), "an ErrorInfo");
    }
}
