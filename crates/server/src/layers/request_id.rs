//! Request ids: `x-request-id` of the request, or a new one, is in the log and in the reply.

use axum::extract::Request;
use http::{HeaderName, HeaderValue};
use tower_http::request_id::{MakeRequestId, RequestId};
use uuid::Uuid;

/// Makes UUIDs that sort by time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRequestId;

impl MakeRequestId for NewRequestId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let id = Uuid::now_v7().to_string();
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

/// Removes an id that is not fit for a log. A new one is made instead.
pub(crate) fn clean(mut request: Request) -> Request {
    let fit = |id: &HeaderValue| {
        (1..=MAX_LENGTH).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    if request
        .headers()
        .get(&REQUEST_ID)
        .is_some_and(|id| !fit(id))
    {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// The id of a request.
pub(crate) fn of(request: &Request) -> &str {
    let id = request.headers().get(&REQUEST_ID);
    id.and_then(|id| id.to_str().ok()).unwrap_or_default()
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_LENGTH: usize = 128;

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_callers_id_stays_if_it_is_fit_for_a_log() {
        let longest = "x".repeat(MAX_LENGTH);
        for (id, fit) in [
            ("7f3a-42", true),
            (&longest, true),
            ("", false),
            ("two words", false),
            ("\u{e9}", false),
            (&format!("{longest}x"), false),
        ] {
            let mut request = Request::new(Body::empty());
            let value = HeaderValue::from_bytes(id.as_bytes()).expect("a value");
            request.headers_mut().insert(REQUEST_ID, value);
            assert_eq!(of(&clean(request)) == id && !id.is_empty(), fit, "{id:?}");
        }
    }
}
