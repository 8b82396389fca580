use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _, pb};

/// Asserts what every error has, the code and the reason of this one, and gives
/// its details.
pub(crate) fn refused(status: &Status, code: Code, reason: &str) -> ErrorDetails {
    assert_eq!(status.code(), code, "{status:?}");
    let wire = pb::Status::decode(status.details()).expect("a google.rpc.Status");
    assert_eq!(wire.code, i32::from(code), "{status:?}");
    assert_eq!(wire.message, status.message());
    let infos = wire
        .details
        .iter()
        .filter(|detail| detail.type_url == "type.googleapis.com/google.rpc.ErrorInfo")
        .count();
    assert_eq!(infos, 1, "exactly one ErrorInfo: {wire:?}");

    let details = status.get_error_details();
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.domain, "viridian");
    assert_eq!(info.reason, reason, "{status:?}");
    details
}

/// Asserts that a call came at the wrong moment, and gives the message.
pub(crate) fn prevented(status: &Status, reason: &str) -> String {
    let details = refused(status, Code::FailedPrecondition, reason);
    let failure = details.precondition_failure().expect("a failure");
    let [violation] = &failure.violations[..] else {
        panic!("one violation: {failure:?}")
    };
    assert_eq!(violation.r#type, reason);
    assert_eq!(violation.description, status.message());
    assert!(!violation.subject.is_empty());
    status.message().to_owned()
}

/// The paths of the fields that a request is refused for, in order.
pub(crate) fn field_paths(status: &Status) -> Vec<String> {
    let details = refused(status, Code::InvalidArgument, "INVALID_FIELD");
    let request = details.bad_request().expect("a BadRequest");
    let violations = request.field_violations.iter();
    let mut paths: Vec<_> = violations
        .map(|violation| {
            assert!(!violation.description.is_empty(), "{violation:?}");
            violation.field.clone()
        })
        .collect();
    paths.sort();
    paths
}
