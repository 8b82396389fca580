//! Calls that are refused for their credentials.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::info;

/// A call without credentials to a method that needs them.
pub(crate) fn credentials_missing() -> Status {
    let message = "credentials are needed: a bearer token or a client certificate";
    unauthenticated("CREDENTIALS_MISSING", message)
}

/// A call with credentials that the server does not know. `why` must not contain them.
pub(crate) fn credentials_invalid(why: &'static str) -> Status {
    unauthenticated("CREDENTIALS_INVALID", why)
}

/// Ends a stream whose caller's roles or projects have changed. The next call goes by the
/// new ones.
pub(crate) fn credentials_changed() -> Status {
    let mut details = info("CREDENTIALS_CHANGED", []);
    details.set_retry_info(Some(std::time::Duration::ZERO));
    let message = "what these credentials allow has changed; call again";
    // UNAVAILABLE is the code that clients retry, and the next call may well be allowed.
    Status::with_error_details(Code::Unavailable, message, details)
}

/// A call that none of the caller's roles allows.
pub(crate) fn role_not_allowed(name: &str, method: &str, allowed: &[impl ToString]) -> Status {
    let roles: Vec<_> = allowed.iter().map(ToString::to_string).collect();
    let roles = roles.join(", ");
    let message = format!("{name} may not call {method}: it needs one of the roles {roles}");
    let metadata = [("method", method.to_owned()), ("roles", roles)];
    let details = info("ROLE_NOT_ALLOWED", metadata);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// A call about a project that the caller may not see, whether it exists or not.
pub(crate) fn project_not_allowed(name: &str, project: &str) -> Status {
    let message = format!("project {project} is not one of those of {name}");
    let details = info("PROJECT_NOT_ALLOWED", [("project", project.to_owned())]);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// A call about a resource group whose routes are not the caller's.
pub(crate) fn resource_group_not_allowed(name: &str, group: &str) -> Status {
    let message = format!("resource group {group} is not one of those of {name}");
    let metadata = [("resource_group", group.to_owned())];
    let details = info("RESOURCE_GROUP_NOT_ALLOWED", metadata);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// A call over HTTP by a name that may be anybody's, of a server without credentials.
pub(crate) fn host_not_allowed(host: &str) -> Status {
    let message = "a browser may call a server without credentials only by a name of loopback \
                   or, if it does not listen on loopback, by its address; use --tokens for others";
    let details = info("HOST_NOT_ALLOWED", [("host", shortened(host))]);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// A call of a web page whose origin is not allowed.
pub(crate) fn origin_not_allowed(origin: &str) -> Status {
    let message = "pages of this origin may not call; --grpc-web-origin names those that may";
    let details = info("ORIGIN_NOT_ALLOWED", [("origin", shortened(origin))]);
    Status::with_error_details(Code::PermissionDenied, message, details)
}

/// What a stranger wrote, as far as it is worth repeating.
fn shortened(text: &str) -> String {
    text.chars().take(256).collect()
}

/// A method that the server does not have.
pub(crate) fn method_unknown() -> Status {
    let message = "there is no such method";
    Status::with_error_details(Code::Unimplemented, message, info("METHOD_NOT_FOUND", []))
}

fn unauthenticated(reason: &str, message: &str) -> Status {
    Status::with_error_details(Code::Unauthenticated, message, info(reason, []))
}
