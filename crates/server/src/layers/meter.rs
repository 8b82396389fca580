//! Counts calls, and how long they take.

use axum::{extract::Request, middleware::Next, response::Response};
use metrics::{Gauge, counter, gauge, histogram};
use tonic::Status;
use tracing::Span;

use super::{
    arrival::Arrival,
    ending::{Ending, follow},
    method::Method,
};
use crate::{
    error::code_name,
    metrics::{RPC_DURATION, RPC_HANDLED, RPC_IN_FLIGHT, RPC_STARTED, RPC_STREAMS},
};

/// Counts a call from its begin to the end of its reply.
pub(crate) async fn meter(request: Request, next: Next) -> Response {
    let Arrival { method, at, .. } = Arrival::of(&request);
    let name = method.name.as_str();
    counter!(RPC_STARTED, "method" => name).increment(1);
    let under_way = under_way(method);
    under_way.increment(1.0);
    let ending = Ending::new(move |status: &Status| {
        under_way.decrement(1.0);
        counter!(RPC_HANDLED, "method" => name, "code" => code_name(status.code())).increment(1);
        // How long a stream lasts says nothing of the server.
        if !method.streams {
            histogram!(RPC_DURATION, "method" => name).record(at.elapsed());
        }
    });
    follow(next.run(request).await, ending, Span::none())
}

fn under_way(method: &'static Method) -> Gauge {
    if method.streams {
        gauge!(RPC_STREAMS, "method" => method.name.as_str())
    } else {
        gauge!(RPC_IN_FLIGHT)
    }
}
