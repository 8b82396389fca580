//! Refusals of sets: each names its members by what the caller wrote.

use tonic::{Code, Status};
use tonic_types::{PreconditionViolation, StatusExt as _};
use viridian_store::{MAX_SET_MEMBERS, MAX_SET_ROUTES, SetRefusal, UnitError};

use crate::{
    error::{ResourceKind, bad_field, info, not_found, store},
    refusals::{IntoStatus, request_id_reused},
};

/// Converts a refusal of a set. `names` are its members as the caller wrote them.
pub(crate) fn set_refused<R: IntoStatus>(
    error: UnitError<SetRefusal<R>>,
    names: &[&str],
) -> Status {
    match error {
        UnitError::Refused(SetRefusal::Members(refusals)) => {
            let refusals = refusals.into_iter().map(|refusal| {
                let name = names.get(refusal.member).copied().unwrap_or_default();
                (refusal.member, name, refusal.why.into_status(name))
            });
            members_refused(&refusals.collect::<Vec<_>>())
        }
        UnitError::Refused(SetRefusal::TooLarge { routes }) => {
            let message = format!(
                "the members have {routes} routes; a set may have {MAX_SET_ROUTES}: make several"
            );
            too_large(&message)
        }
        UnitError::RequestIdReused => request_id_reused(),
        UnitError::Store(error) => store(&error),
        // Of members only.
        UnitError::NoDeployment(_) | UnitError::Generation { .. } => {
            not_found(ResourceKind::Deployment, &names.join(", "))
        }
    }
}

/// A set with more members than it may have.
pub(crate) fn too_many_members(count: usize) -> Status {
    too_large(&format!(
        "there are {count} members; a set may have {MAX_SET_MEMBERS}: make several"
    ))
}

fn too_large(message: &str) -> Status {
    let mut details = info("SET_TOO_LARGE", []);
    details.add_bad_request_violation("members", message);
    Status::with_error_details(Code::InvalidArgument, message, details)
}

/// Members that are not there, or that the caller may not see.
pub(crate) fn members_not_found(missing: &[(usize, &str)]) -> Status {
    let refusals = missing.iter().map(|(index, name)| {
        let status = not_found(ResourceKind::Deployment, name);
        (*index, *name, status)
    });
    members_refused(&refusals.collect::<Vec<_>>())
}

/// One member that is refused.
pub(crate) fn member_refused(index: usize, name: &str, status: &Status) -> Status {
    members_refused(&[(index, name, status.clone())])
}

/// Members that are refused, in the order of the request: the code and the reason are those of
/// the first, and each has a violation.
fn members_refused(refusals: &[(usize, &str, Status)]) -> Status {
    let Some((index, name, first)) = refusals.first() else {
        return bad_field("members", "none was refused");
    };
    let sentence = |(_, name, status): &(usize, &str, Status)| {
        let name: String = name.chars().take(MAX_NAME).collect();
        format!("{name}: {}", status.message())
    };
    let shown: Vec<_> = refusals.iter().take(MAX_SENTENCES).map(sentence).collect();
    let more = match refusals.len().saturating_sub(MAX_SENTENCES) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let message = format!("nothing was changed: {}{more}", shown.join("; "));
    let mut details = info(&reason(first), []);
    if let Some(info) = details.error_info() {
        let mut metadata = first
            .get_details_error_info()
            .map(|it| it.metadata)
            .unwrap_or_default();
        metadata.insert("member".into(), format!("members[{index}]"));
        metadata.insert(
            "deployment".into(),
            (*name).chars().take(MAX_NAME).collect(),
        );
        metadata.insert("refused_members".into(), refusals.len().to_string());
        let (reason, domain) = (info.reason.clone(), info.domain.clone());
        details.set_error_info(reason, domain, metadata);
    }
    let violations = refusals.iter().scan(0, |size, (_, name, status)| {
        let name: String = name.chars().take(MAX_NAME).collect();
        let violation = PreconditionViolation::new(reason(status), name, status.message());
        *size += violation.r#type.len() + violation.subject.len() + violation.description.len();
        // Details stand in a header, which has little room.
        (*size <= MAX_DETAILS_BYTES).then_some(violation)
    });
    let violations: Vec<_> = violations.collect();
    if !violations.is_empty() {
        details.set_precondition_failure(violations);
    }
    if let Some(resource) = first.get_details_resource_info() {
        let (kind, name) = (resource.resource_type, resource.resource_name);
        details.set_resource_info(kind, name, "", resource.description);
    }
    Status::with_error_details(first.code(), message, details)
}

fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    info.map(|info| info.reason).unwrap_or_default()
}

const MAX_SENTENCES: usize = 3;
const MAX_NAME: usize = 130;
const MAX_DETAILS_BYTES: usize = 1_200;
