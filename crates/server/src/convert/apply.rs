//! Applies: what a deployment is to be as a whole.

use viridian_proto::v1;
use viridian_store::{
    Deployment, DeploymentSpec, DesiredState, FieldChange, Manifest, Metadata, NewDeployment,
    Protocol, RevisionSpec, SpecChange,
};

use super::{
    Violations,
    changes::{FlatSettings, revision_changes},
    deployment::{DEFAULT_HISTORY_LIMIT, metadata, parse_metadata},
    policy::default_policy,
    reference::check_name,
    revision::{EnvironValues, parse_spec, spec},
    update::{SpecConflict, SpecUpdate, add_settings, parse_settings},
};

/// What a deployment is to be, right by itself.
#[derive(Clone, Debug)]
pub(crate) struct ApplyManifest {
    project: String,
    name: String,
    settings: SpecUpdate,
    /// As it was given: what is empty is not compared.
    given_metadata: v1::DeploymentMetadata,
    metadata: Metadata,
    revision: Option<RevisionSpec>,
}

/// A revision that is to run in a deployment whose settings stay.
pub(crate) struct RevisionManifest(pub(crate) RevisionSpec);

/// An apply from the wire.
pub(crate) fn parse_apply(
    wire: &v1::ApplyDeploymentRequest,
    violations: &mut Violations,
) -> ApplyManifest {
    check_name("project", &wire.project, violations);
    check_name("name", &wire.name, violations);
    ApplyManifest {
        project: wire.project.clone(),
        name: wire.name.clone(),
        settings: parse_settings(wire, violations),
        given_metadata: wire.metadata.clone().unwrap_or_default(),
        metadata: parse_metadata(wire.metadata.as_ref(), violations),
        revision: wire
            .revision
            .as_ref()
            .map(|spec| parse_spec("revision", spec, violations)),
    }
}

impl ApplyManifest {
    /// Metadata is set once: what differs from it is refused.
    fn check_metadata(&self, present: &Metadata, violations: &mut Violations) {
        let given = &self.given_metadata;
        for (name, given, present) in [
            ("domain", &given.domain, &present.domain),
            (
                "resource_group",
                &given.resource_group,
                &present.resource_group,
            ),
            ("created_user", &given.created_user, &present.created_user),
            (
                "session_owner",
                &given.session_owner,
                &present.session_owner,
            ),
        ] {
            violations.check(
                given.is_empty() || given == present,
                &format!("metadata.{name}"),
                format_args!("cannot change after a deployment is created: it is {present:?}"),
            );
        }
    }
}

impl DesiredState for ApplyManifest {
    type Conflict = SpecConflict;

    fn merge(&self, present: &Deployment) -> Result<SpecChange, SpecConflict> {
        let mut violations = Violations::default();
        self.check_metadata(&present.metadata, &mut violations);
        self.settings
            .apply_with(&DeploymentSpec::of(present), violations)
    }

    fn revision(&self) -> Option<&RevisionSpec> {
        self.revision.as_ref()
    }

    fn describe_revision(
        &self,
        before: Option<&RevisionSpec>,
        after: &RevisionSpec,
    ) -> Vec<FieldChange> {
        describe_revision(before, after)
    }
}

impl Manifest for ApplyManifest {
    fn project(&self) -> &str {
        &self.project
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn creation(&self) -> Result<(NewDeployment, Vec<FieldChange>), SpecConflict> {
        let defaults = DeploymentSpec {
            target_replicas: DEFAULT_REPLICAS,
            policy: default_policy(),
            labels: [].into(),
            revision_history_limit: DEFAULT_HISTORY_LIMIT,
            protocol: Protocol::default(),
        };
        let SpecChange { spec, .. } = self.settings.apply(&defaults)?;
        let mut flat = FlatSettings::default();
        add_settings(&spec, &mut flat);
        flat.add(
            "DeploymentMetadata",
            &metadata(self.metadata.clone()),
            "metadata",
        );
        let mut changes = FlatSettings::default().changes_to(&flat);
        if let Some(revision) = &self.revision {
            changes.extend(describe_revision(None, revision));
        }
        let new = NewDeployment {
            project: self.project.clone(),
            name: self.name.clone(),
            labels: spec.labels,
            metadata: self.metadata.clone(),
            target_replicas: spec.target_replicas,
            policy: spec.policy,
            revision_history_limit: spec.revision_history_limit,
            protocol: spec.protocol,
            initial_revision: self.revision.clone(),
        };
        Ok((new, changes))
    }
}

impl DesiredState for RevisionManifest {
    type Conflict = SpecConflict;

    fn merge(&self, present: &Deployment) -> Result<SpecChange, SpecConflict> {
        Ok(DeploymentSpec::of(present).into())
    }

    fn revision(&self) -> Option<&RevisionSpec> {
        Some(&self.0)
    }

    fn describe_revision(
        &self,
        before: Option<&RevisionSpec>,
        after: &RevisionSpec,
    ) -> Vec<FieldChange> {
        describe_revision(before, after)
    }
}

fn describe_revision(before: Option<&RevisionSpec>, after: &RevisionSpec) -> Vec<FieldChange> {
    // With the values: two of them differ that would both be redacted. No change shows them.
    let whole = |it: &RevisionSpec| spec(it.clone(), EnvironValues::Given);
    revision_changes(before.map(whole).as_ref(), &whole(after))
}

/// As many as a caller means who does not say.
const DEFAULT_REPLICAS: u32 = 1;
