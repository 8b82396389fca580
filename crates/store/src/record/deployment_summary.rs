//! What identifies and describes a deployment to those who run or check its routes.

use std::collections::BTreeMap;

use viridian_strategy::DeploymentId;

use super::Metadata;

/// What identifies and describes a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeploymentSummary {
    /// Its id.
    pub id: DeploymentId,
    /// The project that it belongs to.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where it belongs and who asked for it.
    pub metadata: Metadata,
}
