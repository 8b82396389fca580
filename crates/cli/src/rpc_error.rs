//! A refusal of the server as text: one sentence, then its details.

use std::fmt::Write as _;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use viridian_server::code_name;

/// The message and the code on one line, then a line for each detail that adds
/// something.
pub(crate) fn describe(status: &Status) -> String {
    let mut text = match status.message().trim() {
        "" => format!("the server answered {}", code_name(status.code())),
        message => format!("{message} ({})", code_name(status.code())),
    };
    // A single violation is in the message already, word for word.
    let is_repeated = |detail: &String| detail.ends_with(status.message().trim());
    let details = status.get_error_details();
    let reason = details.error_info().map_or("", |info| info.reason.as_str());
    if let Some(advice) = credentials_advice(status.code(), reason) {
        // Writing to a String cannot fail.
        let _ = write!(text, "; {advice}");
    }
    let details = self::details(&details);
    for detail in details
        .iter()
        .filter(|it| status.message().is_empty() || !is_repeated(it))
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {detail}");
    }
    text
}

/// What helps a caller whom the server does not let in. None for other refusals.
pub(crate) fn credentials_advice(code: Code, reason: &str) -> Option<&'static str> {
    Some(match (code, reason) {
        (Code::Unauthenticated, "CREDENTIALS_INVALID") => {
            "the server does not know the token (VIRIDIAN_TOKEN, --token) or the certificate \
             (--tls-cert) that was sent; `viridian token` makes one"
        }
        (Code::Unauthenticated, _) => {
            "set a token in VIRIDIAN_TOKEN or by --token, or a certificate by --tls-cert"
        }
        (Code::PermissionDenied, _) => {
            "the server's credentials file gives each caller roles and projects"
        }
        _ => return None,
    })
}

fn details(details: &ErrorDetails) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(request) = details.bad_request() {
        let violations = request.field_violations.iter();
        lines.extend(violations.map(|it| format!("{}: {}", it.field, it.description)));
    }
    if let Some(precondition) = details.precondition_failure() {
        let violations = precondition.violations.iter();
        lines.extend(violations.map(|it| format!("{}: {}", it.r#type, it.description)));
    }
    if let Some(info) = details.error_info() {
        lines.push(format!("reason: {}", info.reason));
        let mut metadata: Vec<_> = info.metadata.iter().collect();
        // A map has no order: sorted, the lines are the same each time.
        metadata.sort();
        lines.extend(
            metadata
                .into_iter()
                .map(|(key, value)| format!("{key}: {value}")),
        );
    }
    if let Some(delay) = details.retry_info().and_then(|it| it.retry_delay) {
        lines.push(format!("try again in {delay:?}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt as _};

    use super::describe;

    #[test]
    fn each_detail_has_its_line() {
        let mut details = ErrorDetails::new();
        details
            .add_precondition_failure_violation(
                "GREEN_PROVISIONING",
                "demo/hello",
                "1 of 3 green routes is ready",
            )
            .set_error_info(
                "NOT_READY",
                "viridian",
                [("generation".to_owned(), "4".to_owned())],
            );
        let status = Status::with_error_details(
            Code::FailedPrecondition,
            "demo/hello cannot be promoted",
            details,
        );
        assert_eq!(
            describe(&status),
            "demo/hello cannot be promoted (FAILED_PRECONDITION)\n  \
             GREEN_PROVISIONING: 1 of 3 green routes is ready\n  \
             reason: NOT_READY\n  generation: 4"
        );
    }

    #[test]
    fn field_violations_name_their_fields() {
        let details = ErrorDetails::with_bad_request_violation("target_replicas", "at most 1000");
        let status = Status::with_error_details(Code::InvalidArgument, "bad request", details);
        assert_eq!(
            describe(&status),
            "bad request (INVALID_ARGUMENT)\n  target_replicas: at most 1000"
        );
    }

    #[test]
    fn a_detail_that_repeats_the_message_is_left_out() {
        let message = "nothing is being deployed";
        let mut details = ErrorDetails::with_precondition_failure_violation("IDLE", "d", message);
        details.set_error_info("IDLE", "viridian", []);
        let status = Status::with_error_details(Code::FailedPrecondition, message, details);
        assert_eq!(
            describe(&status),
            "nothing is being deployed (FAILED_PRECONDITION)\n  reason: IDLE"
        );
    }

    #[test]
    fn a_refusal_without_a_message_is_still_a_sentence() {
        assert_eq!(
            describe(&Status::new(Code::Internal, "")),
            "the server answered INTERNAL"
        );
    }
}
