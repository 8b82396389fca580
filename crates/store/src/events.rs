//! Events: what could be seen of a deployment at each sequence. Together they
//! are the log that watches follow.

mod log;
mod old;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_strategy::DeploymentId;

use crate::{
    connection::{Connection, with_conn},
    deployments::Deployment,
    error::StoreError,
    schema::events,
    types::{EventKind, Json, Sql},
};

/// What changed of a deployment, and how it was then.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What changed.
    pub kind: EventKind,
    /// The deployment at its sequence.
    pub deployment: Deployment,
}

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

impl Connection {
    /// Records a deployment as it is at its sequence.
    pub(crate) async fn insert_event(
        &mut self,
        kind: EventKind,
        deployment: &Deployment,
    ) -> Result<(), StoreError> {
        let row = (
            events::deployment_id.eq(Sql(deployment.id)),
            events::sequence.eq(deployment.sequence),
            events::kind.eq(Sql(kind)),
            events::snapshot.eq(Json(deployment.clone())),
            events::created_at.eq(Sql(deployment.updated_at)),
        );
        with_conn!(self, |c| diesel::insert_into(events::table)
            .values(row)
            .execute(c))?;
        Ok(())
    }
}
