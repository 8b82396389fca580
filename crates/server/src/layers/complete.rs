//! Makes every refusal one of Viridian's: with one ErrorInfo, also those of the library
//! that speaks gRPC.

use http::HeaderMap;
use tonic::{Code, Status};

use super::header_room;

/// Whether the headers of a reply are a refusal, and there is no more of it.
pub(crate) fn is_refusal(headers: &HeaderMap) -> bool {
    // gRPC calls this Trailers-Only: a call that fails
    // before its reply has the status in the headers.
    headers.contains_key(STATUS)
}

/// Completes the status in headers or trailers if it has no details, and trims it to the
/// room that headers have.
pub(crate) fn amend(headers: &mut HeaderMap, completed: fn(&Status) -> Status) {
    let has_details = headers.contains_key(DETAILS);
    if has_details && header_room::fits(headers) {
        return;
    }
    let Some(status) = Status::from_header_map(headers).filter(|it| it.code() != Code::Ok) else {
        return;
    };
    // `add_header` keeps it if the new message is empty: that of the library would be sent.
    headers.remove(MESSAGE);
    headers.remove(DETAILS);
    let status = match has_details {
        true => status,
        false => completed(&status),
    };
    let status = header_room::trimmed(&status, header_room::room_beside(headers));
    if let Err(error) = status.add_header(headers) {
        tracing::warn!(%error, "a refusal goes out as it is");
    }
}

const STATUS: &str = "grpc-status";
const MESSAGE: &str = "grpc-message";
const DETAILS: &str = "grpc-status-details-bin";

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::*;
    use crate::error::foreign;

    #[test]
    fn a_refusal_without_details_gets_them() {
        for (theirs, code, reason) in [
            (
                Status::out_of_range("found 9 bytes, the limit is: 4 bytes"),
                Code::InvalidArgument,
                "MESSAGE_TOO_LARGE",
            ),
            (
                Status::internal("invalid wire type"),
                Code::InvalidArgument,
                "MALFORMED_MESSAGE",
            ),
            (
                Status::unimplemented(""),
                Code::Unimplemented,
                "METHOD_NOT_FOUND",
            ),
            (Status::not_found("no"), Code::NotFound, "NOT_FOUND"),
        ] {
            let ours = amended(&theirs, foreign::refusal);
            assert_eq!(ours.code(), code, "{theirs:?}");
            let details = ours.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!(
                (info.reason.as_str(), info.domain.as_str()),
                (reason, "viridian")
            );
        }
    }

    #[test]
    fn what_ends_a_reply_is_no_mistake_of_the_caller() {
        let ours = amended(&Status::internal("SELECT *"), foreign::ending);
        assert_eq!(ours.code(), Code::Internal);
        assert!(!ours.message().contains("SELECT"), "{ours:?}");
    }

    #[test]
    fn ours_stay_as_they_are() {
        let details = ErrorDetails::with_error_info("MINE", "viridian", []);
        let mine = Status::with_error_details(Code::Internal, "mine", details);
        let after = amended(&mine, foreign::refusal);
        assert_eq!(after.code(), Code::Internal);
        assert_eq!(after.details(), mine.details());
        let fine = amended(&Status::new(Code::Ok, ""), foreign::refusal);
        assert_eq!((fine.code(), fine.details()), (Code::Ok, &[][..]));
    }

    fn amended(status: &Status, completed: fn(&Status) -> Status) -> Status {
        let mut headers = HeaderMap::new();
        status.add_header(&mut headers).expect("headers");
        amend(&mut headers, completed);
        Status::from_header_map(&headers).expect("a status")
    }
}
