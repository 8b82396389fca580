//! Errors of the gRPC library. They get the details that every error of Viridian has, and a
//! code that a caller can act on.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{code::code_name, info};

/// Completes an error of the library before a reply has begun.
pub(crate) fn refusal(status: &Status) -> Status {
    let (code, reason, message) = match status.code() {
        // A message that cannot be decoded is the caller's mistake, not the server's.
        Code::Internal => return malformed(status.message()),
        // Too large as sent, or once decompressed. A retry would not help.
        Code::OutOfRange | Code::ResourceExhausted => (
            Code::InvalidArgument,
            "MESSAGE_TOO_LARGE",
            "the message is larger than the server takes; send less at once",
        ),
        // tonic adds this header when it refuses an encoding, and only then.
        Code::Unimplemented if status.metadata().contains_key("grpc-accept-encoding") => (
            Code::Unimplemented,
            "ENCODING_NOT_SUPPORTED",
            "the message is compressed in a way that the server does not know",
        ),
        Code::Unimplemented => (
            Code::Unimplemented,
            "METHOD_NOT_FOUND",
            "there is no such method",
        ),
        other => (other, code_name(other), status.message()),
    };
    Status::with_error_details(code, message, info(reason, []))
}

/// Completes an error that ends a reply. At that point the caller made no mistake.
pub(crate) fn ending(status: &Status) -> Status {
    let code = status.code();
    let message = match code {
        Code::Internal | Code::Unknown => "an internal error; the server's log has the reason",
        _ => status.message(),
    };
    Status::with_error_details(code, message, info(code_name(code), []))
}

/// A request that is not gRPC.
pub(crate) fn not_grpc() -> Status {
    let message = "the content type is not application/grpc";
    Status::with_error_details(Code::InvalidArgument, message, info("NOT_GRPC", []))
}

/// A message that cannot be decoded. If `why`, the library's text, names the field, the
/// reply does too.
fn malformed(why: &str) -> Status {
    let mut details = info("MALFORMED_MESSAGE", []);
    if let Some((field, description)) = undecodable(why) {
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, why, details)
}

/// The field and the reason in "…: DeploymentPolicy.drain_grace:
/// CreateDeploymentRequest.policy: invalid …". The decoder writes the path from the inside
/// out.
fn undecodable(why: &str) -> Option<(String, &str)> {
    let mut rest = why.split_once(": ")?.1;
    let mut path = Vec::new();
    while let Some((place, deeper)) = rest.split_once(": ") {
        match place.split_once('.') {
            Some((_, field)) if !place.contains(' ') => path.push(field),
            _ => break,
        }
        rest = deeper;
    }
    path.reverse();
    (!path.is_empty()).then(|| (path.join("."), rest))
}
