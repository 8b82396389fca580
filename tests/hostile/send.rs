//! Sends a request as it is, and takes what comes back.

use std::{future::poll_fn, pin::Pin};

use tonic::{
    Status,
    body::Body,
    client::GrpcService as _,
    codegen::{Body as _, http::Request},
    transport::Channel,
};

use crate::harness::within;

/// What came back.
pub(super) struct Answer {
    pub(super) http: u16,
    /// None of a stream that goes on.
    pub(super) status: Option<Status>,
}

pub(super) async fn send(mut channel: Channel, request: Request<Body>, what: &str) -> Answer {
    let watches = request.uri().path().contains("/Watch");
    within(what, async {
        poll_fn(|context| channel.poll_ready(context))
            .await
            .expect(what);
        let response = channel
            .call(request)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let (head, body) = response.into_parts();
        let status = match Status::from_header_map(&head.headers) {
            Some(status) => Some(status),
            None if watches => None,
            None => Some(trailers(body, what).await),
        };
        Answer {
            http: head.status.as_u16(),
            status,
        }
    })
    .await
}

async fn trailers(mut body: Body, what: &str) -> Status {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
            return status;
        }
    }
    panic!("{what}: it ended without a status")
}
