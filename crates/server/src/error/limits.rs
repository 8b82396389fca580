//! What is refused before it reaches a service, or cut off in it.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::info;

/// More calls are under way than the server takes on.
pub(crate) fn too_many_requests() -> Status {
    let message = "too many requests are under way";
    exhausted("TOO_MANY_REQUESTS", message, CALL_RETRY_DELAY)
}

/// More streams are open than the server takes on, or than one caller may have.
pub(crate) fn too_many_streams(message: &'static str) -> Status {
    exhausted("TOO_MANY_STREAMS", message, STREAM_RETRY_DELAY)
}

/// The caller calls too often; it may again after a while.
pub(crate) fn too_fast(wait: Duration) -> Status {
    exhausted("RATE_LIMITED", "you call too often", wait)
}

/// The caller's own deadline, or the server's, has passed. What was under way
/// has been given up; what was committed stays.
pub(crate) fn too_late() -> Status {
    let message = "the call was not done in time";
    Status::with_error_details(
        Code::DeadlineExceeded,
        message,
        info("DEADLINE_EXCEEDED", []),
    )
}

/// A bug. The log has more.
pub(crate) fn panicked() -> Status {
    let message = "an internal error; the server's log has the reason";
    Status::with_error_details(Code::Internal, message, info("INTERNAL", []))
}

fn exhausted(reason: &str, message: &str, wait: Duration) -> Status {
    let mut details: ErrorDetails = info(reason, []);
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Calls end all the time.
const CALL_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Streams do not.
const STREAM_RETRY_DELAY: Duration = Duration::from_secs(5);
