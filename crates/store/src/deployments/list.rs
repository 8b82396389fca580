//! Lists of deployments.

use std::collections::BTreeMap;

use diesel::prelude::*;
use viridian_engine::{load, selected};
use viridian_strategy::{Availability, DeploymentId, Lifecycle, SubStep};

use super::{does_not_parse, row::DeploymentRow, try_row::TryRow};
use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{Deployment, Projects},
    schema::deployments,
    types::{Sql, TryJson},
};

/// Labels of a deployment.
pub type DeploymentLabels = BTreeMap<String, String>;

/// Selects deployments for a list.
#[derive(Clone, Debug, Default)]
pub struct DeploymentFilter {
    /// Only these deployments, if they are named.
    pub ids: Option<Vec<DeploymentId>>,
    /// Only deployments of these projects.
    pub projects: Projects,
    /// Only deployments in one of these lifecycles; all if empty.
    pub lifecycles: Vec<Lifecycle>,
    /// Only deployments in one of these sub-steps; all if empty.
    pub sub_steps: Vec<SubStep>,
    /// Only deployments that serve so; all if empty.
    pub availabilities: Vec<Availability>,
}

impl StoreConnection {
    /// Lists deployments, oldest first, after one of them. A deployment that cannot be read
    /// is in the list as an error.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_deployments(
        &mut self,
        filter: DeploymentFilter,
        after: Option<DeploymentId>,
        limit: u32,
    ) -> Result<Vec<(DeploymentId, Result<Deployment, StoreError>)>, StoreError> {
        let ids = self
            .list_deployment_ids(filter, after, i64::from(limit))
            .await?;
        self.find_deployments(ids).await
    }

    /// Lists the ids of deployments, oldest first, after one of them.
    pub(crate) async fn list_deployment_ids(
        &mut self,
        filter: DeploymentFilter,
        after: Option<DeploymentId>,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let labels = self.list_deployment_labels(filter, after, limit).await?;
        Ok(labels.into_iter().map(|(id, _)| id).collect())
    }

    /// Lists the labels of deployments, oldest first, after one of them: all that a selector
    /// looks at. None if they cannot be read.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_deployment_labels(
        &mut self,
        filter: DeploymentFilter,
        after: Option<DeploymentId>,
        limit: i64,
    ) -> Result<Vec<(DeploymentId, Option<DeploymentLabels>)>, StoreError> {
        let rows: Vec<(Sql<DeploymentId>, TryJson<DeploymentLabels>)> = load!(self, {
            let mut query = deployments::table
                .select((deployments::id, deployments::labels))
                .into_boxed();
            if let Projects::These(projects) = filter.projects {
                query = query.filter(deployments::project.eq_any(projects));
            }
            if let Some(ids) = filter.ids {
                let ids: Vec<_> = ids.into_iter().map(Sql).collect();
                query = query.filter(deployments::id.eq_any(ids));
            }
            if !filter.lifecycles.is_empty() {
                let lifecycles: Vec<_> = filter.lifecycles.into_iter().map(Sql).collect();
                query = query.filter(deployments::lifecycle.eq_any(lifecycles));
            }
            if !filter.sub_steps.is_empty() {
                let sub_steps: Vec<_> = filter.sub_steps.into_iter().map(Sql).collect();
                query = query.filter(deployments::sub_step.eq_any(sub_steps));
            }
            if !filter.availabilities.is_empty() {
                let these: Vec<_> = filter.availabilities.into_iter().map(Sql).collect();
                query = query.filter(deployments::availability.eq_any(these));
            }
            if let Some(after) = after {
                query = query.filter(deployments::id.gt(Sql(after)));
            }
            query.order(deployments::id).limit(limit)
        })?;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(Sql(id), TryJson(labels))| (id, labels))
            .collect())
    }

    /// Lists the deployments of some projects, in whatever state, oldest first, after one of
    /// them. Of one project it reads as many rows of an index as it returns.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn list_of_projects(
        &mut self,
        projects: Vec<String>,
        after: Option<DeploymentId>,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = load!(self, {
            let mut query = deployments::table
                .filter(deployments::project.eq_any(projects))
                .select(deployments::id)
                .into_boxed();
            if let Some(after) = after {
                query = query.filter(deployments::id.gt(Sql(after)));
            }
            query.order(deployments::id).limit(limit)
        })?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Finds deployments, ordered by id. One that cannot be read fails alone.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_deployments(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, Result<Deployment, StoreError>)>, StoreError> {
        let wanted: Vec<_> = ids.iter().copied().map(Sql).collect();
        let rows: Vec<(Sql<DeploymentId>, TryRow<DeploymentRow>)> = load!(
            self,
            deployments::table
                .filter(deployments::id.eq_any(wanted))
                .order(deployments::id)
                .select((deployments::id, selected::<TryRow<DeploymentRow>, Db>()))
        )?;
        let deployment = |(Sql(id), TryRow(row)): (_, TryRow<DeploymentRow>)| {
            let row = row.map_err(|_| does_not_parse(id));
            (id, row.and_then(Deployment::try_from))
        };
        Ok(rows.into_iter().map(deployment).collect())
    }
}
