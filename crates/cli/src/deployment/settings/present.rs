//! The settings that a deployment has now.

use viridian_proto::v1::{Deployment, HealthCheck, RevisionSpec};

use super::{
    REVISION, canonical,
    flat::{FlatSettings, flatten},
    strategy_name,
};
use crate::output::OutputError;

/// The settings that a deployment has now.
#[derive(Debug)]
pub(in crate::deployment) struct PresentSettings {
    pub(super) flat: FlatSettings,
    pub(super) strategy: Option<String>,
}

impl PresentSettings {
    /// The settings of a deployment, and of its newest revision: the deploying one if
    /// there is one, else the current one.
    pub(in crate::deployment) fn new(
        deployment: &Deployment,
        spec: Option<&RevisionSpec>,
    ) -> Result<Self, OutputError> {
        let mut flat = FlatSettings::new();
        flatten(&canonical("Deployment", deployment)?, "", &mut flat);
        if let Some(spec) = spec {
            flatten(&with_defaults(spec)?, REVISION, &mut flat);
        }
        let strategy = match &deployment.policy {
            Some(policy) => strategy_name(policy)?,
            None => None,
        };
        Ok(Self { flat, strategy })
    }
}

/// A spec with the defaults that the server adds.
pub(super) fn with_defaults(spec: &RevisionSpec) -> Result<serde_json::Value, OutputError> {
    let mut spec = spec.clone();
    // The defaults of the server's health check: with others, an unchanged file would
    // appear to change the revision.
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let given = spec.health_check.take().unwrap_or_default();
    spec.health_check = Some(HealthCheck {
        path: match given.path.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        },
        interval: given.interval.or(seconds(10)),
        timeout: given.timeout.or(seconds(2)),
        initial_delay: given.initial_delay.or(seconds(0)),
    });
    canonical("RevisionSpec", &spec)
}
