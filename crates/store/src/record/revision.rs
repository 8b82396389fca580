//! A revision: an immutable version of what to run.

use std::{collections::BTreeMap, fmt, time::Duration};

use viridian_strategy::{DeploymentId, RevisionId, Timestamp};

/// An immutable version of what to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Revision {
    /// Its id.
    pub id: RevisionId,
    /// The deployment that it is a version of.
    pub deployment: DeploymentId,
    /// 1, 2, and so on.
    pub number: i64,
    /// What to run.
    pub spec: RevisionSpec,
    /// When it was created.
    pub created_at: Timestamp,
    /// Who created it.
    pub created_by: String,
}

/// What to run. Its Debug form has the names of the environment variables and no values.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RevisionSpec {
    /// The container image.
    pub image: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The model to serve.
    pub model: String,
    /// What serves the model.
    pub runtime_variant: String,
    /// Environment variables.
    pub environ: BTreeMap<String, String>,
    /// Resources of one replica by slot name.
    pub resource_slots: BTreeMap<String, String>,
    /// How the health of a replica is checked.
    pub health_check: HealthCheck,
    /// Environment variables whose values are secrets of the server's configuration.
    pub environ_from: BTreeMap<String, SecretReference>,
}

/// Names a secret within the deployment's project. Its value is in no row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretReference {
    /// The secret.
    pub secret: String,
    /// The key within it.
    pub key: String,
}

impl fmt::Debug for RevisionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            image,
            command,
            model,
            runtime_variant,
            environ,
            resource_slots,
            health_check,
            environ_from,
        } = self;
        f.debug_struct("RevisionSpec")
            .field("image", image)
            .field("command", command)
            .field("model", model)
            .field("runtime_variant", runtime_variant)
            // Values may be secret, and this form ends in logs.
            .field("environ", &environ.keys())
            .field("resource_slots", resource_slots)
            .field("health_check", health_check)
            .field("environ_from", environ_from)
            .finish()
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.secret, self.key)
    }
}

/// How the health of a replica is checked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HealthCheck {
    /// The path of an HTTP GET that must answer 2xx.
    pub path: String,
    /// From one check to the next.
    pub interval: Duration,
    /// How long one check may take.
    pub timeout: Duration,
    /// From the start of the replica to the first check.
    pub initial_delay: Duration,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            initial_delay: Duration::ZERO,
        }
    }
}

/// How a caller names a revision of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevisionReference {
    /// By its id.
    Id(RevisionId),
    /// By its number.
    Number(i64),
}

impl fmt::Display for RevisionReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Number(number) => number.fmt(f),
        }
    }
}
