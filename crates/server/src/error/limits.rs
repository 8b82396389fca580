//! Calls that a limit refuses, and calls that are cut off.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use viridian_store::QuotaExcess;
use viridian_strategy::QuotaViolation;

use super::info;

/// Too many calls are under way, in all or of one caller.
pub(crate) fn too_many_requests(message: &'static str) -> Status {
    exhausted("TOO_MANY_REQUESTS", message, CALL_RETRY_DELAY)
}

/// Too many streams are open, in all or of one caller.
pub(crate) fn too_many_streams(message: &'static str) -> Status {
    exhausted("TOO_MANY_STREAMS", message, STREAM_RETRY_DELAY)
}

/// The caller has too many lists under way, or does not take them.
pub(crate) fn too_many_replies() -> Status {
    let message = "too many lists of yours are under way, or were not taken";
    exhausted("TOO_MANY_REQUESTS", message, CALL_RETRY_DELAY)
}

/// The caller calls too often. It may call again after `wait`.
pub(crate) fn too_fast(wait: Duration) -> Status {
    exhausted("RATE_LIMITED", "you call too often", wait)
}

/// A change would exceed a quota of its project. There is no time after which it would not.
pub(crate) fn quota_exceeded(excess: &QuotaExcess) -> Status {
    let QuotaExcess {
        project,
        violations,
    } = excess;
    let describe = |it: &QuotaViolation| {
        let QuotaViolation {
            resource,
            limit,
            used,
            requested,
        } = it;
        let resource = resource.as_str();
        format!("{resource}: {used} of {limit} are used, and {requested} more are asked for")
    };
    let described: Vec<_> = violations.iter().map(describe).collect();
    let message = format!("the quota of project {project}: {}", described.join("; "));
    let first = violations.first();
    let number = |of: fn(&QuotaViolation) -> i64| first.map(of).unwrap_or_default().to_string();
    let mut details = info(
        "QUOTA_EXCEEDED",
        [
            ("project", project.clone()),
            (
                "resource",
                first.map_or("", |it| it.resource.as_str()).to_owned(),
            ),
            ("limit", number(|it| it.limit)),
            ("used", number(|it| it.used)),
            ("requested", number(|it| it.requested)),
        ],
    );
    for (violation, description) in violations.iter().zip(described) {
        let subject = format!("{project}/{}", violation.resource.as_str());
        details.add_quota_failure_violation(subject, description);
    }
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// The deadline of the caller or of the server has passed. The call is dropped; what it
/// committed stays.
pub(crate) fn too_late() -> Status {
    let message = "the call was not done in time";
    Status::with_error_details(
        Code::DeadlineExceeded,
        message,
        info("DEADLINE_EXCEEDED", []),
    )
}

/// The message of a call did not come in time. Nothing was done.
pub(crate) fn message_too_slow() -> Status {
    let message = "the message of the call did not come in time";
    let details = info("MESSAGE_TOO_SLOW", []);
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}

/// A call that panicked.
pub(crate) fn panicked() -> Status {
    let message = "an internal error; the server's log has the reason";
    Status::with_error_details(Code::Internal, message, info("INTERNAL", []))
}

fn exhausted(reason: &str, message: &str, wait: Duration) -> Status {
    let mut details: ErrorDetails = info(reason, []);
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Short: calls end all the time.
const CALL_RETRY_DELAY: Duration = Duration::from_millis(200);
/// Longer: streams stay open.
const STREAM_RETRY_DELAY: Duration = Duration::from_secs(5);
