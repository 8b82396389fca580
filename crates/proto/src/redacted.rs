//! The Debug forms of messages with values that may be secret: names alone. Such a form ends
//! in logs and in the messages of failed tests.

use std::fmt::{Debug, Formatter, Result};

use crate::v1::{Assignment, RevisionSpec};

impl Debug for RevisionSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            image,
            command,
            model,
            runtime_variant,
            environ,
            resource_slots,
            health_check,
            environ_from,
            environ_redacted,
        } = self;
        f.debug_struct("RevisionSpec")
            .field("image", image)
            .field("command", command)
            .field("model", model)
            .field("runtime_variant", runtime_variant)
            .field("environ", &environ.keys())
            .field("resource_slots", resource_slots)
            .field("health_check", health_check)
            .field("environ_from", environ_from)
            .field("environ_redacted", environ_redacted)
            .finish()
    }
}

impl Debug for Assignment {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let Self {
            action: _,
            route,
            revision,
            deployment,
            secret_environ,
        } = self;
        f.debug_struct("Assignment")
            .field("action", &self.action())
            .field("route", route)
            .field("revision", revision)
            .field("deployment", deployment)
            .field("secret_environ", &secret_environ.keys())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::Revision;

    #[test]
    fn g15_debug_forms_have_names_and_no_values() {
        let pair = |name: &str| [(name.to_owned(), "s3cret".to_owned())].into();
        let assignment = Assignment {
            revision: Some(Revision {
                spec: Some(RevisionSpec {
                    environ: pair("PLAIN"),
                    ..RevisionSpec::default()
                }),
                ..Revision::default()
            }),
            secret_environ: pair("SECRET"),
            ..Assignment::default()
        };
        let shown = format!("{assignment:?}");
        assert!(
            shown.contains("PLAIN") && shown.contains("SECRET"),
            "{shown}"
        );
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
