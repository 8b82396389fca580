//! Refusals that are not ours: those of the library that speaks gRPC. They get
//! what every error of Viridian has, and the code that a caller can act on.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{code::code_name, info};

/// A refusal from outside the services, before a reply was begun, made one of
/// ours.
pub(crate) fn refusal(status: &Status) -> Status {
    let (code, reason, message) = match status.code() {
        // What cannot be decoded has a mistake of the caller, not of the server.
        Code::Internal => return malformed(status.message()),
        // As it comes, or decompressed. Trying again would not help.
        Code::OutOfRange | Code::ResourceExhausted => (
            Code::InvalidArgument,
            "MESSAGE_TOO_LARGE",
            "the message is larger than the server takes; send less at once",
        ),
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

/// The same for one that ends a reply that was begun. There the caller made no
/// mistake.
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

/// Bytes that are no request. `why` is what the library says of them; when that
/// tells where, so does the answer.
fn malformed(why: &str) -> Status {
    let mut details = info("MALFORMED_MESSAGE", []);
    if let Some((field, description)) = undecodable(why) {
        details.add_bad_request_violation(field, description);
    }
    Status::with_error_details(Code::InvalidArgument, why, details)
}

/// Where and what, of "…: DeploymentPolicy.drain_grace: CreateDeploymentRequest.policy:
/// invalid …", which is how the decoder tells it, from the inside out.
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
