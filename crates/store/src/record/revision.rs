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

/// What to run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
}

/// How the health of a replica is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
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
