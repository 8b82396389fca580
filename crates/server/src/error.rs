//! Every error that the server sends: each has one `google.rpc.ErrorInfo`, and no internal
//! text.

mod access;
mod code;
pub(crate) mod foreign;
pub(crate) mod limits;

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};
use viridian_store::{StoreError, WriteFault};

pub(crate) use self::access::{
    credentials_changed, credentials_invalid, credentials_missing, host_not_allowed,
    method_unknown, origin_not_allowed, project_not_allowed, resource_group_not_allowed,
    role_not_allowed,
};
pub use self::code::code_name;

const DOMAIN: &str = "viridian";

/// The kind of a resource, for `google.rpc.ResourceInfo`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ResourceKind {
    Deployment,
    Revision,
    Route,
}

/// A deployment, a revision or a route that does not exist.
pub(crate) fn not_found(resource: ResourceKind, subject: &str) -> Status {
    let (reason, kind, word) = match resource {
        ResourceKind::Deployment => ("DEPLOYMENT_NOT_FOUND", "viridian.Deployment", "deployment"),
        ResourceKind::Revision => ("REVISION_NOT_FOUND", "viridian.Revision", "revision"),
        ResourceKind::Route => ("ROUTE_NOT_FOUND", "viridian.Route", "route"),
    };
    let message = format!("there is no {word} {subject}");
    let mut details = info(reason, []);
    details.set_resource_info(kind, subject, "", message.clone());
    Status::with_error_details(Code::NotFound, message, details)
}

/// A failure of the database. Its message is logged, not sent.
pub(crate) fn store(error: &StoreError) -> Status {
    match error {
        StoreError::Unavailable(why) => {
            tracing::warn!(why, "the database is away");
            let mut details = info("DATABASE_UNAVAILABLE", []);
            details.set_retry_info(Some(Duration::from_secs(1)));
            let message = "the database cannot be reached";
            Status::with_error_details(Code::Unavailable, message, details)
        }
        StoreError::Unwritable(fault) => {
            tracing::warn!(%fault, "the database cannot be written");
            let mut details = info(write_fault_reason(fault), []);
            details.set_retry_info(Some(Duration::from_secs(1)));
            let message = format!("{fault}; nothing is written until that is mended");
            Status::with_error_details(Code::Unavailable, message, details)
        }
        StoreError::PoolTimeout => {
            let mut details = info("TOO_MANY_REQUESTS", []);
            details.set_retry_info(Some(Duration::from_millis(200)));
            let message = "too many requests are under way";
            Status::with_error_details(Code::ResourceExhausted, message, details)
        }
        StoreError::TimedOut | StoreError::ClockSet => {
            tracing::warn!(%error, "a unit of work was given up");
            let mut details = info("DATABASE_TIMEOUT", []);
            details.set_retry_info(Some(Duration::from_secs(1)));
            Status::with_error_details(Code::Unavailable, error.to_string(), details)
        }
        StoreError::LockTimeout | StoreError::Conflict { .. } => {
            tracing::warn!(%error, "a unit of work was given up");
            // Nothing was committed: the caller may repeat the
            // whole call, which is what ABORTED says.
            aborted("DEPLOYMENT_HELD", error_words(error).to_owned(), [])
        }
        StoreError::OverQuota(excess) => limits::quota_exceeded(excess),
        StoreError::Corrupt { .. } | StoreError::Internal(_) => {
            tracing::error!(%error, "a unit of work failed");
            // Not the text of the error: it may have parts of statements and of rows.
            let message = "an internal error; the server's log has the reason";
            Status::with_error_details(Code::Internal, message, info("INTERNAL", []))
        }
    }
}

fn write_fault_reason(fault: &WriteFault) -> &'static str {
    match fault {
        WriteFault::FileMoved(_) => "DATABASE_FILE_MOVED",
        WriteFault::StorageFull => "STORAGE_FULL",
        WriteFault::ReadOnly => "DATABASE_READ_ONLY",
    }
}

/// Ends streams when the server shuts down.
pub(crate) fn shutting_down() -> Status {
    let mut details = info("SHUTTING_DOWN", []);
    details.set_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, "the server is shutting down", details)
}

/// Ends streams of a connection that is older than it may be.
pub(crate) fn connection_aged() -> Status {
    let mut details = info("CONNECTION_AGED", []);
    details.set_retry_info(Some(Duration::ZERO));
    let message = "the connection is older than it may be; call again, on another one";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// Ends a stream whose consumer is too slow.
pub(crate) fn slow_consumer() -> Status {
    let mut details = info("SLOW_CONSUMER", []);
    details.set_retry_info(Some(Duration::from_secs(1)));
    let message = "events come faster than they are taken; resume with the last token";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Ends a reply of which its caller takes nothing.
pub(crate) fn reply_not_taken() -> Status {
    let mut details = info("SLOW_CONSUMER", []);
    details.set_retry_info(Some(Duration::from_secs(1)));
    let message = "nothing of the reply was taken for too long";
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Ends a watch whose token is older than the retained events.
pub(crate) fn resume_token_expired() -> Status {
    let message = "a watch can no longer go on where this token was given; watch without one";
    let details = info("RESUME_TOKEN_EXPIRED", []);
    Status::with_error_details(Code::OutOfRange, message, details)
}

/// A malformed request, with its violations.
pub(crate) fn bad_request(violations: Vec<FieldViolation>) -> Status {
    let total = violations.len();
    some_of_bad_request(violations, total)
}

/// A malformed request with one violation.
pub(crate) fn bad_field(field: &str, description: &str) -> Status {
    bad_request(vec![FieldViolation::new(field, description)])
}

/// The same with only some of all violations.
pub(crate) fn some_of_bad_request(violations: Vec<FieldViolation>, total: usize) -> Status {
    let listed = violations.len();
    let message = match violations.as_slice() {
        [one] if total == 1 => format!("{}: {}", one.field, one.description),
        _ if listed < total => {
            format!("{total} fields are not valid; these are the first {listed}")
        }
        _ => format!("{total} fields are not valid"),
    };
    let mut details = match total - listed {
        0 => info("INVALID_FIELD", []),
        left_out => info(
            "INVALID_FIELD",
            [("violations_left_out", left_out.to_string())],
        ),
    };
    details.set_bad_request(violations);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn error_words(error: &StoreError) -> &'static str {
    match error {
        StoreError::LockTimeout => "another call holds the deployment; try again",
        _ => "the deployment was changed meanwhile; try again",
    }
}

pub(crate) fn precondition(reason: &str, message: &str, subject: &str) -> Status {
    let mut details = info(reason, []);
    details.add_precondition_failure_violation(reason, subject, message);
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

pub(crate) fn aborted<const N: usize>(
    reason: &str,
    message: String,
    metadata: [(&str, String); N],
) -> Status {
    Status::with_error_details(Code::Aborted, message, info(reason, metadata))
}

pub(crate) fn info<const N: usize>(reason: &str, metadata: [(&str, String); N]) -> ErrorDetails {
    let metadata: HashMap<String, String> = metadata
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    ErrorDetails::with_error_info(reason, DOMAIN, metadata)
}
