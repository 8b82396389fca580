//! Pages of the log, and of the deployments as they were at a position of it.

use std::collections::BTreeSet;

use thiserror::Error;
use viridian_strategy::DeploymentId;

use super::{EventFilter, LogEntry};
use crate::{DeploymentFilter, Projects, connection::StoreConnection, error::StoreError};

/// A page of the log.
#[derive(Debug)]
pub struct LogPage {
    /// In the order of their positions.
    pub entries: Vec<LogEntry>,
    /// The last position that was read: the next page begins after it.
    pub read: i64,
}

/// A page of deployments as they were at a position of the log.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The last event of each deployment, in the order of the deployments' ids.
    pub entries: Vec<LogEntry>,
    /// The next page begins after this deployment; none if this is the last page.
    pub next: Option<DeploymentId>,
}

/// The deployments that a page of the log is about.
#[derive(Debug)]
pub struct ChangedPage {
    /// Each once.
    pub changed: BTreeSet<DeploymentId>,
    /// The last position that was read: the next page begins after it.
    pub read: i64,
}

/// Why a page of the log could not be read.
#[derive(Debug, Error)]
pub enum ReadLogError {
    /// Some of its events were deleted.
    #[error("some of the events were deleted")]
    Expired,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[expect(
    clippy::missing_errors_doc,
    reason = "each fails when the database does, or with ReadLogError::Expired"
)]
impl StoreConnection {
    /// Reads the events of a filter after a position and up to another. The page may end
    /// earlier, but has no gap.
    pub async fn read_log(
        &mut self,
        filter: &EventFilter,
        after: i64,
        up_to: i64,
        limit: u32,
    ) -> Result<LogPage, ReadLogError> {
        let limit = i64::from(limit);
        let entries = self.list_events(filter, after, up_to, limit).await?;
        // After the events are read. Checked first, they could be deleted in between, and the
        // page would have a gap.
        if self.is_forgotten_behind(filter, after).await? {
            return Err(ReadLogError::Expired);
        }
        let read = match entries.last() {
            // A full page says nothing about what comes after its last entry.
            Some(last) if entries.len() as i64 == limit => last.position,
            _ => up_to,
        };
        Ok(LogPage { entries, read })
    }

    /// Reads the events that any watch wants after a position and up to another, for any number
    /// of watches: the statement names none of their deployments, so no watch can make it too
    /// long for the others. The page may end earlier, but has no gap.
    pub async fn read_wanted_log(
        &mut self,
        after: i64,
        up_to: i64,
        limit: u32,
        is_wanted: impl Fn(DeploymentId, &str) -> bool,
    ) -> Result<LogPage, ReadLogError> {
        let limit = i64::from(limit);
        let places = self.list_log_places(after, up_to, limit).await?;
        let read = match places.last() {
            Some((last, ..)) if places.len() as i64 == limit => *last,
            _ => up_to,
        };
        let wanted = places.into_iter();
        let wanted = wanted.filter(|(_, id, project)| is_wanted(*id, project));
        let wanted: Vec<_> = wanted.map(|(position, ..)| position).collect();
        let entries = match wanted.is_empty() {
            true => Vec::new(),
            false => self.list_events_at(wanted).await?,
        };
        // After the events are read, as in `read_log`. Whose events are gone is not asked: each
        // watch finds that out for itself.
        let horizon = self.horizon().await?;
        match after < horizon.events.max(horizon.deployments) {
            true => Err(ReadLogError::Expired),
            false => Ok(LogPage { entries, read }),
        }
    }

    /// Reads which deployments have events after a position and up to another. The page may
    /// end earlier, but has no gap.
    pub async fn read_changed(
        &mut self,
        after: i64,
        up_to: i64,
        limit: u32,
    ) -> Result<ChangedPage, ReadLogError> {
        let limit = i64::from(limit);
        let places = self.list_log_places(after, up_to, limit).await?;
        let read = match places.last() {
            Some((last, ..)) if places.len() as i64 == limit => *last,
            _ => up_to,
        };
        // After they are read, as in `read_log`.
        let horizon = self.horizon().await?;
        if after < horizon.events.max(horizon.deployments) {
            return Err(ReadLogError::Expired);
        }
        let changed = places.into_iter().map(|(_, id, _)| id).collect();
        Ok(ChangedPage { changed, read })
    }

    /// Reads the deployments of a filter as they were at a position, in the order of their
    /// ids, after one of them.
    pub async fn read_snapshots(
        &mut self,
        filter: &EventFilter,
        up_to: i64,
        after: Option<DeploymentId>,
        limit: u32,
    ) -> Result<SnapshotPage, ReadLogError> {
        let mut ids = Vec::new();
        for project in &filter.projects {
            let of_project = DeploymentFilter {
                projects: Projects::These(vec![project.clone()]),
                ..DeploymentFilter::default()
            };
            let limit = i64::from(limit);
            ids.extend(self.list_deployment_ids(of_project, after, limit).await?);
        }
        let limit = limit as usize;
        let named = filter.deployments.iter().copied();
        ids.extend(named.filter(|id| after.is_none_or(|after| after < *id)));
        ids.sort();
        ids.dedup();
        // Each project gave up to `limit` ids, of which only the lowest are known to be complete.
        ids.truncate(limit);
        let next = ids.last().copied().filter(|_| ids.len() == limit);
        let entries = self.list_last_events(ids, up_to).await?;
        // After the read, as in `read_log`.
        if self.is_forgotten_at(filter, up_to).await? {
            return Err(ReadLogError::Expired);
        }
        Ok(SnapshotPage { entries, next })
    }
}
