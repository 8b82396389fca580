//! Trims refusals to what the headers of a reply may take. A status stands in headers with
//! all of its details, and proxies read headers into one buffer: nginx into 4 KiB. Beyond
//! that the caller gets a 502, which says nothing and looks worth a retry.

use http::HeaderMap;
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

/// What is left for a status beside the headers that there are.
pub(super) fn room_beside(headers: &HeaderMap) -> usize {
    MAX_HEADER_BLOCK.saturating_sub(size_of(headers))
}

/// Whether headers fit with what the layers and HTTP add to them.
pub(super) fn fits(headers: &HeaderMap) -> bool {
    size_of(headers) <= MAX_HEADER_BLOCK
}

/// The same status, with as many of its details as fit. Says how many do not.
pub(super) fn trimmed(status: &Status, room: usize) -> Status {
    let mut details = status.get_error_details();
    let mut message = status.message().to_owned();
    let mut left_out = left_out_before(&details);
    loop {
        note(&mut details, left_out);
        let trimmed = Status::with_error_details(status.code(), &message, details.clone());
        if size_of_status(&trimmed) <= room {
            return trimmed;
        }
        if drop_last_violation(&mut details) {
            left_out += 1;
        } else if message.len() > MIN_TEXT {
            message = cut(&message, message.len() / 2);
        } else {
            // What remains are texts of its own that callers chose: names, and the like.
            return Status::with_error_details(status.code(), &message, bare(&details));
        }
    }
}

/// Drops the last of what is listed, in the part that lists most.
fn drop_last_violation(details: &mut ErrorDetails) -> bool {
    let fields = details.bad_request().map(|it| it.field_violations.clone());
    if let Some(mut fields) = fields.filter(|it| !it.is_empty()) {
        fields.pop();
        details.set_bad_request(fields);
        return true;
    }
    let states = details
        .precondition_failure()
        .map(|it| it.violations.clone());
    if let Some(mut states) = states.filter(|it| !it.is_empty()) {
        states.pop();
        details.set_precondition_failure(states);
        return true;
    }
    false
}

/// How many were left out when the status was made.
fn left_out_before(details: &ErrorDetails) -> usize {
    let info = details.error_info();
    let count = info.and_then(|info| info.metadata.get(LEFT_OUT));
    count.and_then(|it| it.parse().ok()).unwrap_or_default()
}

/// Notes how many are left out.
fn note(details: &mut ErrorDetails, left_out: usize) {
    if left_out == 0 {
        return;
    }
    if let Some(info) = details.error_info().cloned() {
        let mut metadata = info.metadata;
        metadata.insert(LEFT_OUT.to_owned(), left_out.to_string());
        details.set_error_info(info.reason, info.domain, metadata);
    }
}

/// The reason alone.
fn bare(details: &ErrorDetails) -> ErrorDetails {
    let mut bare = ErrorDetails::new();
    if let Some(info) = details.error_info() {
        bare.set_error_info(&info.reason, &info.domain, []);
    }
    if let Some(retry) = details.retry_info() {
        bare.set_retry_info(retry.retry_delay);
    }
    bare
}

fn cut(text: &str, length: usize) -> String {
    format!("{}…", &text[..text.floor_char_boundary(length)])
}

fn size_of_status(status: &Status) -> usize {
    let mut headers = HeaderMap::new();
    match status.add_header(&mut headers) {
        Ok(()) => size_of(&headers),
        Err(_) => usize::MAX,
    }
}

fn size_of(headers: &HeaderMap) -> usize {
    let fields = headers.iter();
    fields
        .map(|(name, value)| name.as_str().len() + value.len() + FIELD_OVERHEAD)
        .sum()
}

/// In the metadata of the ErrorInfo: how many violations are left out.
pub(crate) const LEFT_OUT: &str = "violations_left_out";
/// Of the 4 KiB, less what is added later: the date, the id of the request, and the frames
/// that may come before the reply.
const MAX_HEADER_BLOCK: usize = 4_096 - 640;
/// The two lengths of a field.
const FIELD_OVERHEAD: usize = 4;
/// A message is not cut below this.
const MIN_TEXT: usize = 200;

#[cfg(test)]
mod tests {
    use tonic::Code;
    use tonic_types::{FieldViolation, PreconditionViolation};

    use super::*;

    #[test]
    fn d4_violations_that_do_not_fit_are_counted() {
        for text in ["must be a UUID", "→ é …", &"x".repeat(300)] {
            let violations: Vec<_> = (0..1_000)
                .map(|at| FieldViolation::new(format!("reports[{at}].route_id"), text))
                .collect();
            let mut details = ErrorDetails::with_error_info("INVALID_FIELD", "viridian", []);
            details.set_bad_request(violations);
            let status = Status::with_error_details(Code::InvalidArgument, "wrong", details);
            let details = fitting(&status);
            let listed = details.bad_request().expect("some").field_violations.len();
            assert!(listed > 0);
            let left_out = &details.error_info().expect("a reason").metadata[LEFT_OUT];
            assert_eq!(left_out, &(1_000 - listed).to_string());
        }
    }

    #[test]
    fn d4_states_and_long_messages_are_trimmed_too() {
        let violations: Vec<_> = (0..60)
            .map(|at| PreconditionViolation::new(format!("CODE_{at}"), "shop/web", "é".repeat(40)))
            .collect();
        let mut details = ErrorDetails::with_error_info("PROMOTION_BLOCKED", "viridian", []);
        details.set_precondition_failure(violations);
        let message = "é".repeat(4_000);
        let status = Status::with_error_details(Code::FailedPrecondition, message, details);
        let details = fitting(&status);
        assert_eq!(
            details.error_info().expect("a reason").reason,
            "PROMOTION_BLOCKED"
        );
    }

    #[test]
    fn d4_texts_that_callers_chose_are_left_out_when_nothing_else_is_left() {
        let long = "x".repeat(5_000);
        let mut details = ErrorDetails::with_error_info("DEPLOYMENT_NOT_FOUND", "viridian", []);
        details.set_resource_info("viridian.Deployment", &long, "", &long);
        let status = Status::with_error_details(Code::NotFound, long, details);
        let details = fitting(&status);
        assert_eq!(
            details.error_info().expect("a reason").reason,
            "DEPLOYMENT_NOT_FOUND"
        );
        assert!(details.resource_info().is_none());
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        let details = ErrorDetails::with_error_info("MINE", "viridian", []);
        let status = Status::with_error_details(Code::Internal, "mine", details);
        let after = trimmed(&status, MAX_HEADER_BLOCK);
        assert_eq!(
            (after.message(), after.details()),
            ("mine", status.details())
        );
    }

    fn fitting(status: &Status) -> ErrorDetails {
        let trimmed = trimmed(status, MAX_HEADER_BLOCK);
        let mut headers = HeaderMap::new();
        trimmed.add_header(&mut headers).expect("headers");
        assert!(fits(&headers), "{}", size_of(&headers));
        assert_eq!(trimmed.code(), status.code());
        trimmed.get_error_details()
    }
}
