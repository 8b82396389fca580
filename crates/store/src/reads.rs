//! What can be read without a unit of work. Nothing is decided on it.

use std::time::Duration;

use viridian_strategy::{DeploymentId, RouteId};

use crate::{
    Assignment, Database, Deployment, DeploymentFilter, HistoryEntry, Projects, Request, Revision,
    RevisionReference, Route, RouteFilter, Tables, TrafficTable, error::StoreError,
};

/// The assignments that may be handed out now.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAssignments {
    /// The oldest first.
    pub open: Vec<Assignment>,
    /// How long until the next one behind these may be handed out.
    pub next: Option<Duration>,
}

#[expect(
    clippy::missing_errors_doc,
    reason = "each fails only when the database does"
)]
impl Database {
    /// Finds a deployment, alive or not.
    pub async fn find_deployment(
        &self,
        id: DeploymentId,
    ) -> Result<Option<Deployment>, StoreError> {
        self.reader().await?.find_deployment(id).await
    }

    /// Finds the live deployment of a name.
    pub async fn find_deployment_id(
        &self,
        project: &str,
        name: &str,
    ) -> Result<Option<DeploymentId>, StoreError> {
        self.reader()
            .await?
            .find_deployment_id(project.to_owned(), name.to_owned())
            .await
    }

    /// Finds the projects of deployments, which never change.
    pub async fn find_projects(
        &self,
        ids: Vec<DeploymentId>,
    ) -> Result<Vec<(DeploymentId, String)>, StoreError> {
        self.reader().await?.find_projects(ids).await
    }

    /// Finds the projects of routes, which never change.
    pub async fn find_route_projects(
        &self,
        ids: Vec<RouteId>,
    ) -> Result<Vec<(RouteId, String)>, StoreError> {
        self.reader().await?.find_route_projects(ids).await
    }

    /// Lists deployments, oldest first, behind one. One that cannot be read
    /// takes its place in the list as an error.
    pub async fn list_deployments(
        &self,
        filter: DeploymentFilter,
        after: Option<DeploymentId>,
        limit: u32,
    ) -> Result<Vec<(DeploymentId, Result<Deployment, StoreError>)>, StoreError> {
        let mut reader = self.reader().await?;
        let ids = reader
            .list_deployment_ids(filter, after, i64::from(limit))
            .await?;
        reader.find_deployments(ids).await
    }

    /// Finds a revision of a deployment.
    pub async fn find_revision(
        &self,
        deployment: DeploymentId,
        reference: RevisionReference,
    ) -> Result<Option<Revision>, StoreError> {
        self.reader()
            .await?
            .find_revision(deployment, reference)
            .await
    }

    /// Lists routes of a deployment, oldest first, behind one.
    pub async fn list_routes(
        &self,
        deployment: DeploymentId,
        filter: RouteFilter,
        after: Option<RouteId>,
        limit: u32,
    ) -> Result<Vec<Route>, StoreError> {
        self.reader()
            .await?
            .list_routes(deployment, filter, after, i64::from(limit))
            .await
    }

    /// Lists revisions of a deployment, newest first, before one of a
    /// number.
    pub async fn list_revisions(
        &self,
        deployment: DeploymentId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Revision>, StoreError> {
        self.reader()
            .await?
            .list_revisions(deployment, before, i64::from(limit))
            .await
    }

    /// Finds the deployment that the first call with a request id was about.
    pub async fn find_replied_deployment(
        &self,
        request: &Request,
    ) -> Result<Option<DeploymentId>, StoreError> {
        self.reader().await?.find_replied_deployment(request).await
    }

    /// Lists what happened to a deployment, newest first, before one of a
    /// number.
    pub async fn list_history(
        &self,
        deployment: DeploymentId,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.reader()
            .await?
            .list_history(deployment, before, i64::from(limit))
            .await
    }

    /// Gives traffic tables, ordered by deployment.
    pub async fn traffic_tables(
        &self,
        which: Tables,
        projects: Projects,
    ) -> Result<Vec<TrafficTable>, StoreError> {
        self.reader().await?.traffic_tables(which, projects).await
    }

    /// Gives what the schedulers of a group have to do now.
    pub async fn open_assignments(
        &self,
        resource_group: &str,
        projects: Projects,
        limit: u32,
    ) -> Result<OpenAssignments, StoreError> {
        let now = self.now().await?;
        let group = resource_group.to_owned();
        let mut reader = self.reader().await?;
        let open = reader
            .list_assignments(group.clone(), projects, now, i64::from(limit))
            .await?;
        let next = reader.next_assignment(group, now).await?;
        Ok(OpenAssignments {
            open,
            next: next.map(|at| at.since(now)),
        })
    }
}
