//! What can be read without a unit of work. Nothing is decided on it.

use std::time::Duration;

use thiserror::Error;
use viridian_strategy::{DeploymentId, RouteId, Timestamp};

use crate::{
    Assignment, Deployment, DeploymentFilter, EventFilter, HistoryEntry, LogEntry, Projects,
    Request, Revision, RevisionReference, Route, RouteFilter, StateCounts, Store, Tables,
    TrafficTable, error::StoreError,
};

/// A part of the log.
#[derive(Debug)]
pub struct LogPage {
    /// In order.
    pub entries: Vec<LogEntry>,
    /// Up to where this is all that was asked for.
    pub read: i64,
}

/// How some deployments were at a position of the log.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The last event of each, in the order of their ids.
    pub entries: Vec<LogEntry>,
    /// The one behind which the next page begins; none when this is the last.
    pub next: Option<DeploymentId>,
}

/// Why a part of the log was not given.
#[derive(Debug, Error)]
pub enum ReadLogError {
    /// Some of it is forgotten.
    #[error("some of the log is forgotten")]
    Forgotten,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is due and was not looked at yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many deployments.
    pub due: i64,
    /// For how long the first of them has been due.
    pub overdue: Duration,
}

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
impl Store {
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

    /// Gives when something was last reported of routes, as far as servers have
    /// written it down.
    pub async fn last_reports(
        &self,
        routes: Vec<RouteId>,
    ) -> Result<Vec<(RouteId, Timestamp)>, StoreError> {
        self.reader().await?.find_last_reports(routes).await
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

    /// Gives what a filter asks for of the log, behind a position and up to
    /// another, or less: never with a gap.
    pub async fn read_log(
        &self,
        filter: &EventFilter,
        after: i64,
        up_to: i64,
        limit: u32,
    ) -> Result<LogPage, ReadLogError> {
        let limit = i64::from(limit);
        let mut reader = self.reader().await?;
        let entries = reader.list_events(filter, after, up_to, limit).await?;
        // Behind the look: what is there by now was there then.
        if reader.is_forgotten_behind(filter, after).await? {
            return Err(ReadLogError::Forgotten);
        }
        let read = match entries.last() {
            // A full page says nothing about what comes after its last entry.
            Some(last) if entries.len() as i64 == limit => last.position,
            _ => up_to,
        };
        Ok(LogPage { entries, read })
    }

    /// Gives how the deployments of a filter were at a position, those behind
    /// one, in the order of their ids.
    pub async fn read_snapshots(
        &self,
        filter: &EventFilter,
        up_to: i64,
        after: Option<DeploymentId>,
        limit: u32,
    ) -> Result<SnapshotPage, ReadLogError> {
        let mut reader = self.reader().await?;
        let limit = limit as usize;
        let mut ids = Vec::new();
        for project in &filter.projects {
            let of_project = DeploymentFilter {
                projects: Projects::These(vec![project.clone()]),
                ..DeploymentFilter::default()
            };
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            ids.extend(reader.list_deployment_ids(of_project, after, limit).await?);
        }
        let named = filter.deployments.iter().copied();
        ids.extend(named.filter(|id| after.is_none_or(|after| after < *id)));
        ids.sort();
        ids.dedup();
        // Each project gave up to `limit` ids, of which only the lowest are known to be complete.
        ids.truncate(limit);
        let next = ids.last().copied().filter(|_| ids.len() == limit);
        let entries = reader.list_last_events(ids, up_to).await?;
        // After the read, as in `read_log`.
        if reader.is_forgotten_at(filter, up_to).await? {
            return Err(ReadLogError::Forgotten);
        }
        Ok(SnapshotPage { entries, next })
    }

    /// Gives traffic tables, ordered by deployment.
    pub async fn traffic_tables(
        &self,
        which: Tables,
        projects: Projects,
    ) -> Result<Vec<TrafficTable>, StoreError> {
        self.reader().await?.traffic_tables(which, projects).await
    }

    /// Gives what is due. As long as that is nothing, it looks at one row.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let mut reader = self.reader().await?;
        match reader.next_due(self.round_trip()).await? {
            (Some(at), now) if at <= now => Ok(Backlog {
                due: reader.count_due(now).await?,
                overdue: now.since(at),
            }),
            _ => Ok(Backlog::default()),
        }
    }

    /// Counts deployments by where they are, and gives what time it is. It looks
    /// at each of them.
    pub async fn census(&self) -> Result<(Vec<StateCounts>, Timestamp), StoreError> {
        let round_trip = self.round_trip();
        self.reader().await?.count_deployments(round_trip).await
    }

    /// Gives what the schedulers of a group have to do now.
    pub async fn open_assignments(
        &self,
        resource_group: &str,
        projects: Projects,
        limit: u32,
    ) -> Result<OpenAssignments, StoreError> {
        // One time for both queries. With two, what becomes available in between is in neither.
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
