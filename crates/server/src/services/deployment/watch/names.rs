//! The deployments that get the names that a watch is about.

use std::collections::HashSet;

use viridian_feeds::{TableTarget, TableWatch};
use viridian_store::{DeploymentName, StoreError};
use viridian_strategy::DeploymentId;

use crate::scope::Scope;

/// Follows names: a new deployment has a new traffic table.
pub(super) struct FollowedNames(Option<TableWatch>);

impl FollowedNames {
    pub(super) fn begin(scope: &Scope, names: &[DeploymentName]) -> Self {
        // A watch of ids alone has no use for it.
        Self((!names.is_empty()).then(|| {
            let target = TableTarget::Deployments {
                ids: HashSet::new(),
                names: names.to_vec(),
            };
            let projects = scope.projects().clone();
            scope.feeds().tables().watch(target, projects)
        }))
    }

    /// The deployments that have got a name, or one of which they have had for longer has a
    /// new table. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Vec<DeploymentId>, StoreError> {
        match &mut self.0 {
            Some(tables) => {
                let tables = tables.next().await?;
                Ok(tables
                    .iter()
                    .flatten()
                    .map(|table| table.deployment)
                    .collect())
            }
            None => std::future::pending().await,
        }
    }
}
