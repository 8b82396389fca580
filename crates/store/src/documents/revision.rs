//! What a revision runs, and the revision itself, as replies have it.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::{DeploymentId, RevisionId};

use super::{Micros, persisted};
use crate::record::{HealthCheck, Revision, RevisionSpec, SecretReference};

persisted!(RevisionSpec => SpecDocument<'_>);

#[derive(Serialize, Deserialize)]
pub(crate) struct SpecDocument<'a> {
    image: Cow<'a, str>,
    command: Cow<'a, [String]>,
    model: Cow<'a, str>,
    runtime_variant: Cow<'a, str>,
    environ: Cow<'a, BTreeMap<String, String>>,
    resource_slots: Cow<'a, BTreeMap<String, String>>,
    health_check: HealthCheckDocument<'a>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environ_from: BTreeMap<Cow<'a, str>, SecretDocument<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SecretDocument<'a> {
    secret: Cow<'a, str>,
    key: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
struct HealthCheckDocument<'a> {
    path: Cow<'a, str>,
    interval: Duration,
    timeout: Duration,
    initial_delay: Duration,
}

#[derive(Serialize, Deserialize)]
pub(super) struct RevisionDocument<'a> {
    id: Uuid,
    deployment: Uuid,
    number: i64,
    spec: SpecDocument<'a>,
    created_at: Micros,
    created_by: Cow<'a, str>,
}

impl<'a> From<&'a RevisionSpec> for SpecDocument<'a> {
    fn from(spec: &'a RevisionSpec) -> Self {
        let RevisionSpec {
            image,
            command,
            model,
            runtime_variant,
            environ,
            resource_slots,
            health_check,
            environ_from,
        } = spec;
        let source = |(name, SecretReference { secret, key }): (&'a String, &'a _)| {
            let (secret, key) = (secret.into(), key.into());
            (name.into(), SecretDocument { secret, key })
        };
        Self {
            image: image.into(),
            command: command.into(),
            model: model.into(),
            runtime_variant: runtime_variant.into(),
            environ: Cow::Borrowed(environ),
            resource_slots: Cow::Borrowed(resource_slots),
            health_check: health_check.into(),
            environ_from: environ_from.iter().map(source).collect(),
        }
    }
}

impl From<SpecDocument<'_>> for RevisionSpec {
    fn from(document: SpecDocument<'_>) -> Self {
        let source = |(name, SecretDocument { secret, key }): (Cow<'_, str>, _)| {
            let (secret, key) = (secret.into_owned(), key.into_owned());
            (name.into_owned(), SecretReference { secret, key })
        };
        Self {
            image: document.image.into_owned(),
            command: document.command.into_owned(),
            model: document.model.into_owned(),
            runtime_variant: document.runtime_variant.into_owned(),
            environ: document.environ.into_owned(),
            resource_slots: document.resource_slots.into_owned(),
            health_check: document.health_check.into(),
            environ_from: document.environ_from.into_iter().map(source).collect(),
        }
    }
}

impl<'a> From<&'a HealthCheck> for HealthCheckDocument<'a> {
    fn from(check: &'a HealthCheck) -> Self {
        let HealthCheck {
            path,
            interval,
            timeout,
            initial_delay,
        } = check;
        Self {
            path: path.into(),
            interval: *interval,
            timeout: *timeout,
            initial_delay: *initial_delay,
        }
    }
}

impl From<HealthCheckDocument<'_>> for HealthCheck {
    fn from(document: HealthCheckDocument<'_>) -> Self {
        Self {
            path: document.path.into_owned(),
            interval: document.interval,
            timeout: document.timeout,
            initial_delay: document.initial_delay,
        }
    }
}

impl<'a> From<&'a Revision> for RevisionDocument<'a> {
    fn from(revision: &'a Revision) -> Self {
        let Revision {
            id,
            deployment,
            number,
            spec,
            created_at,
            created_by,
        } = revision;
        Self {
            id: id.0,
            deployment: deployment.0,
            number: *number,
            spec: spec.into(),
            created_at: (*created_at).into(),
            created_by: created_by.into(),
        }
    }
}

impl From<RevisionDocument<'_>> for Revision {
    fn from(document: RevisionDocument<'_>) -> Self {
        Self {
            id: RevisionId(document.id),
            deployment: DeploymentId(document.deployment),
            number: document.number,
            spec: document.spec.into(),
            created_at: document.created_at.into(),
            created_by: document.created_by.into_owned(),
        }
    }
}
