//! Deployments by their names, and the reverse.

use std::collections::{HashMap, HashSet};

use diesel::{dsl::sql, prelude::*, sql_types::Bool};
use diesel_async::RunQueryDsl;
use viridian_engine::{Cacheable as _, load, pad_to_power_of_two, with_conn};
use viridian_strategy::{DeploymentId, Lifecycle};

use crate::{connection::StoreConnection, error::StoreError, schema::deployments, types::Sql};

/// The name of a deployment in its project.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeploymentName {
    /// The project.
    pub project: String,
    /// The name in it.
    pub name: String,
}

impl StoreConnection {
    /// Finds the live deployment of a name.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_deployment_id(
        &mut self,
        project: &str,
        name: &str,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let (project, name) = (project.to_owned(), name.to_owned());
        let id: Option<Sql<DeploymentId>> = with_conn!(self, |c| {
            // diesel takes `sql` for a text that varies, so without `cached` it is prepared each
            // time.
            deployments::table
                .filter(deployments::project.eq(project))
                .filter(deployments::name.eq(name))
                .filter(sql::<Bool>(LIVE))
                .select(deployments::id)
                .cached()
                .get_result(c)
        })
        .optional()?;
        Ok(id.map(|Sql(id)| id))
    }

    /// Finds the live deployments of names, in one statement for every [`MAX_NAMES`] of them.
    /// A name that no live deployment has is left out.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_deployment_ids(
        &mut self,
        names: &[DeploymentName],
    ) -> Result<HashMap<DeploymentName, DeploymentId>, StoreError> {
        // Sorted, so that a chunk has few projects: a row is found for each pair of a project
        // and a name of the chunk.
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort_unstable();
        sorted.dedup();
        let mut found = HashMap::new();
        for chunk in sorted.chunks(MAX_NAMES) {
            let mut projects: Vec<_> = chunk.iter().map(|it| it.project.clone()).collect();
            projects.dedup();
            let projects = pad_to_power_of_two(projects);
            let of_chunk = chunk.iter().map(|it| it.name.clone()).collect();
            let of_chunk = pad_to_power_of_two(of_chunk);
            let rows: Vec<(Sql<DeploymentId>, String, String)> = load!(
                self,
                deployments::table
                    .filter(deployments::project.eq_any(projects.clone()))
                    .filter(deployments::name.eq_any(of_chunk.clone()))
                    .filter(sql::<Bool>(LIVE))
                    .select((deployments::id, deployments::project, deployments::name))
                    .cached()
            )?;
            // Also the names of one project in another, which were not asked for.
            let wanted: HashSet<_> = chunk.iter().copied().collect();
            let rows = rows
                .into_iter()
                .map(|(Sql(id), project, name)| (DeploymentName { project, name }, id));
            found.extend(rows.filter(|(name, _)| wanted.contains(name)));
        }
        Ok(found)
    }

    /// Finds the deployment of a name whose end has begun and waits, the newest one.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_ending_deployment_id(
        &mut self,
        project: &str,
        name: &str,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let (project, name) = (project.to_owned(), name.to_owned());
        let id: Option<Sql<DeploymentId>> = with_conn!(self, |c| deployments::table
            .filter(deployments::project.eq(project))
            .filter(deployments::name.eq(name))
            .filter(deployments::lifecycle.eq(Sql(Lifecycle::Destroying)))
            .order(deployments::id.desc())
            .select(deployments::id)
            .first(c))
        .optional()?;
        Ok(id.map(|Sql(id)| id))
    }

    /// Returns the names of some deployments. A name never changes; once its deployment is
    /// being deleted, another one may take it.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_names(
        &mut self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, DeploymentName)>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        let rows: Vec<(Sql<DeploymentId>, String, String)> = load!(
            self,
            deployments::table
                .filter(deployments::id.eq_any(ids))
                .select((deployments::id, deployments::project, deployments::name))
        )?;
        let named = rows
            .into_iter()
            .map(|(Sql(id), project, name)| (id, DeploymentName { project, name }));
        Ok(named.collect())
    }
}

/// In the words of the index on names, which is not used for others.
const LIVE: &str = "lifecycle NOT IN ('DESTROYING', 'DESTROYED')";

/// How many names one statement looks for: more than a set has members, and few enough that all
/// pairs of their projects and names are soon looked up.
const MAX_NAMES: usize = 64;
