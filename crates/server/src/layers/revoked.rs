//! Ends streams whose caller is not let in any more.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body as _, Frame};
use tonic::{
    Status,
    body::Body,
    codegen::{Bytes, http::HeaderMap},
};

/// The body of a stream that ends early, with a status, when a future resolves.
pub(super) fn until_revoked(
    body: Body,
    end: impl Future<Output = Status> + Send + 'static,
) -> Body {
    // A reply that has ended already, as a refused call's has.
    if body.is_end_stream() {
        return body;
    }
    Body::new(Revocable {
        body,
        end: Some(Box::pin(end)),
    })
}

struct Revocable {
    body: Body,
    /// None once it has come.
    end: Option<Pin<Box<dyn Future<Output = Status> + Send>>>,
}

impl http_body::Body for Revocable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(end) = &mut self.end else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = end.as_mut().poll(context) {
            self.end = None;
            // What the stream would have said is not said any more.
            self.body = Body::empty();
            return Poll::Ready(Some(trailers(&status)));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.end.is_none() || self.body.is_end_stream()
    }
}

fn trailers(status: &Status) -> Result<Frame<Bytes>, Status> {
    let mut headers = HeaderMap::new();
    status.add_header(&mut headers)?;
    Ok(Frame::trailers(headers))
}
