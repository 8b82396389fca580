//! Events: what could be seen of a deployment at each sequence. Together they
//! are the log that watches follow.

mod log;
mod old;
mod pages;

use viridian_engine::{Write, columns};
use viridian_strategy::{DeploymentId, Timestamp};

pub use self::pages::{ChangedPage, LogPage, ReadLogError, SnapshotPage};
use crate::{
    error::StoreError,
    record::{CommitId, Deployment, Event, EventKind},
    schema::events,
    types::{Json, Sql},
};

/// An event in its place in the log. One that cannot be read keeps its place.
#[derive(Debug)]
pub struct LogEntry {
    /// Where it is: in the order of sequences within a deployment.
    pub position: i64,
    /// Whose it is.
    pub deployment: DeploymentId,
    /// What it says.
    pub event: Result<Event, StoreError>,
}

/// Whose events are asked for: those of the deployments and those of the
/// projects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of these deployments.
    pub deployments: Vec<DeploymentId>,
    /// Of all deployments of these projects.
    pub projects: Vec<String>,
}

/// Records deployments, each as it is at its sequence.
pub(crate) fn insert_events(events: Vec<Event>) -> Write {
    let rows = events.into_iter().map(|event| EventRow {
        deployment_id: Sql(event.deployment.id),
        sequence: event.deployment.sequence,
        kind: Sql(event.kind),
        created_at: Sql(event.deployment.updated_at),
        snapshot: Json(event.deployment),
        commit_id: event.commit.map(Sql),
    });
    // Without `position`: the database hands it out, on PostgreSQL not in the order of commits.
    let columns = columns!(rows, EventRow {
        deployment_id, sequence, kind, snapshot, created_at, commit_id,
    } in events);
    Write::insert("record events", "events", columns)
}

struct EventRow {
    deployment_id: Sql<DeploymentId>,
    sequence: i64,
    kind: Sql<EventKind>,
    snapshot: Json<Deployment>,
    created_at: Sql<Timestamp>,
    commit_id: Option<Sql<CommitId>>,
}
