//! How callers name things.

use viridian_store::{DeploymentName, RevisionReference};
use viridian_strategy::{DeploymentId, RevisionId};

use super::Violations;
use crate::resource_name::is_resource_name;

/// A deployment as a caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DeploymentReference {
    /// By its id.
    Id(DeploymentId),
    /// By `PROJECT/NAME`.
    Name { project: String, name: String },
}

impl DeploymentReference {
    /// The name, if it is one: then another deployment may have it later.
    pub(crate) fn name(&self) -> Option<DeploymentName> {
        match self {
            Self::Id(_) => None,
            Self::Name { project, name } => Some(DeploymentName {
                project: project.clone(),
                name: name.clone(),
            }),
        }
    }
}

/// Parses a UUID or `PROJECT/NAME`. None, with a violation, when it is neither.
pub(crate) fn parse_deployment(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<DeploymentReference> {
    if let Ok(id) = text.parse() {
        return Some(DeploymentReference::Id(id));
    }
    match text.split_once('/') {
        Some((project, name)) if is_resource_name(project) && is_resource_name(name) => {
            let (project, name) = (project.to_owned(), name.to_owned());
            Some(DeploymentReference::Name { project, name })
        }
        _ => {
            violations.add(field, "must be a UUID or PROJECT/NAME");
            None
        }
    }
}

/// Parses a UUID or a number.
pub(crate) fn parse_revision(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<RevisionReference> {
    // Numbers have leading zeros without end.
    let number = Some(text).filter(|text| text.len() <= MAX_REVISION_DIGITS);
    if let Some(Ok(number)) = number.map(str::parse::<i64>) {
        violations.check(number > 0, field, "revisions are numbered from 1");
        return Some(RevisionReference::Number(number));
    }
    match text.parse::<RevisionId>() {
        Ok(id) => Some(RevisionReference::Id(id)),
        Err(_) => {
            violations.add(field, "must be a UUID or a number");
            None
        }
    }
}

/// The same for one that may be left out: None for an empty text.
pub(crate) fn parse_optional_revision(
    field: &str,
    text: &str,
    violations: &mut Violations,
) -> Option<RevisionReference> {
    if text.is_empty() {
        return None;
    }
    parse_revision(field, text, violations)
}

/// Notes when a text cannot be the name of a project or of a deployment.
pub(crate) fn check_name(field: &str, text: &str, violations: &mut Violations) {
    violations.check(
        is_resource_name(text),
        field,
        "must be 1 to 63 letters, digits, \"-\", \"_\" or \".\", and begin and end with a letter \
         or a digit",
    );
}

const MAX_REVISION_DIGITS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_id_or_a_project_and_a_name() {
        let mut violations = Violations::default();
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert!(matches!(
            parse_deployment("deployment", id, &mut violations),
            Some(DeploymentReference::Id(_))
        ));
        assert!(matches!(
            parse_deployment("deployment", "team-a/chat", &mut violations),
            Some(DeploymentReference::Name { .. })
        ));
        violations.finish().expect("both are well-formed");
    }

    #[test]
    fn refuses_anything_else() {
        for text in ["", "chat", "a/b/c", "/chat", "a/", "a b/c", "-a/b", "a/b-"] {
            let mut violations = Violations::default();
            assert_eq!(
                parse_deployment("deployment", text, &mut violations),
                None,
                "{text}"
            );
            violations.finish().expect_err(text);
        }
    }
}
