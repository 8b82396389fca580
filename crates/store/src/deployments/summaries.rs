//! What identifies and describes deployments, and their resource groups.

use diesel::prelude::*;
use viridian_engine::load;
use viridian_strategy::DeploymentId;

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{DeploymentSummary, Metadata},
    schema::deployments,
    types::{Sql, TryJson},
};

/// Whose a deployment is. Neither ever changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentPlace {
    /// Its project.
    pub project: String,
    /// Its resource group.
    pub resource_group: String,
}

type SummaryRow = (
    Sql<DeploymentId>,
    String,
    String,
    TryJson<super::DeploymentLabels>,
    TryJson<Metadata>,
);

impl StoreConnection {
    /// Finds what describes some deployments, in no order.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_summaries(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<DeploymentSummary>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<SummaryRow> = load!(
            self,
            deployments::table
                .filter(deployments::id.eq_any(ids))
                .select((
                    deployments::id,
                    deployments::project,
                    deployments::name,
                    deployments::labels,
                    deployments::metadata,
                ))
        )?;
        Ok(rows.into_iter().map(summary).collect())
    }

    /// Finds whose some deployments are, in no order.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_places(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, DeploymentPlace)>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<(Sql<DeploymentId>, String, String)> = load!(
            self,
            deployments::table
                .filter(deployments::id.eq_any(ids))
                .select((
                    deployments::id,
                    deployments::project,
                    deployments::resource_group
                ))
        )?;
        let place = |(Sql(id), project, resource_group)| {
            let place = DeploymentPlace {
                project,
                resource_group,
            };
            (id, place)
        };
        Ok(rows.into_iter().map(place).collect())
    }
}

fn summary(
    (Sql(id), project, name, TryJson(labels), TryJson(metadata)): SummaryRow,
) -> DeploymentSummary {
    DeploymentSummary {
        id,
        project,
        name,
        // What cannot be read is left out here: its routes go on, and so do those of the others in
        // the same list.
        labels: labels.unwrap_or_default(),
        metadata: metadata.unwrap_or_default(),
    }
}
