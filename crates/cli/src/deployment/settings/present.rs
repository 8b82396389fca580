//! What a deployment is.

use viridian_proto::v1::{Deployment, HealthCheck, RevisionSpec, deployment_policy::Strategy};

use super::{
    REVISION, canonical,
    flat::{FlatSettings, flatten},
};
use crate::output::OutputError;

/// What a deployment is.
#[derive(Debug)]
pub(in crate::deployment) struct PresentSettings {
    pub(super) flat: FlatSettings,
    pub(super) strategy: Option<&'static str>,
}

impl PresentSettings {
    /// A deployment, and what its newest revision runs: the one that is being
    /// deployed, or else the current one.
    pub(in crate::deployment) fn new(
        deployment: &Deployment,
        spec: Option<&RevisionSpec>,
    ) -> Result<Self, OutputError> {
        let mut flat = FlatSettings::new();
        flatten(&canonical("Deployment", deployment)?, "", &mut flat);
        if let Some(spec) = spec {
            flatten(&whole(spec)?, REVISION, &mut flat);
        }
        let policy = deployment.policy.as_ref();
        Ok(Self {
            flat,
            strategy: policy
                .and_then(|it| it.strategy.as_ref())
                .map(strategy_name),
        })
    }
}

/// The name that the contract has for a strategy.
pub(super) fn strategy_name(strategy: &Strategy) -> &'static str {
    match strategy {
        Strategy::BlueGreen(_) => "blue_green",
        Strategy::RollingUpdate(_) => "rolling_update",
    }
}

/// A spec with what the server adds where nothing is said.
pub(super) fn whole(spec: &RevisionSpec) -> Result<serde_json::Value, OutputError> {
    let mut spec = spec.clone();
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let said = spec.health_check.take().unwrap_or_default();
    spec.health_check = Some(HealthCheck {
        path: match said.path.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        },
        interval: said.interval.or(seconds(10)),
        timeout: said.timeout.or(seconds(2)),
        initial_delay: said.initial_delay.or(seconds(0)),
    });
    canonical("RevisionSpec", &spec)
}
