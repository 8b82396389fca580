//! Events: what could be seen of a deployment at each sequence.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_strategy::{DeploymentId, Timestamp};

use crate::{
    connection::{Connection, with_conn},
    deployments::Deployment,
    error::StoreError,
    schema::{deployments, events},
    types::{EventKind, Json, Sql},
    write::{Write, columns},
};

impl Connection {
    /// Lists events from before a time, oldest first, behind a position: each
    /// with its position. The last one of a deployment is never among them.
    pub(crate) async fn list_old_events(
        &mut self,
        before: Timestamp,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, DeploymentId, i64)>, StoreError> {
        let rows: Vec<(i64, Sql<DeploymentId>, i64)> = with_conn!(self, |c| events::table
            .inner_join(deployments::table.on(deployments::id.eq(events::deployment_id)))
            .filter(events::position.gt(after))
            .filter(events::created_at.lt(Sql(before)))
            .filter(events::sequence.lt(deployments::sequence))
            .order(events::position)
            .limit(limit)
            .select((events::position, events::deployment_id, events::sequence))
            .load(c))?;
        let event = |(position, Sql(deployment), sequence)| (position, deployment, sequence);
        Ok(rows.into_iter().map(event).collect())
    }

    /// Deletes the events of a deployment up to one; gives how many there were.
    pub(crate) async fn delete_events(
        &mut self,
        deployment: DeploymentId,
        last: i64,
    ) -> Result<usize, StoreError> {
        Ok(with_conn!(self, |c| diesel::delete(events::table)
            .filter(events::deployment_id.eq(Sql(deployment)))
            .filter(events::sequence.le(last))
            .execute(c))?)
    }
}

/// Records deployments, each as it is at its sequence.
pub(crate) fn insert_events(of: Vec<(EventKind, Deployment)>) -> Write {
    let rows = of.into_iter().map(|(kind, deployment)| EventRow {
        deployment_id: Sql(deployment.id),
        sequence: deployment.sequence,
        kind: Sql(kind),
        created_at: Sql(deployment.updated_at),
        snapshot: Json(deployment),
    });
    let columns = columns!(rows, EventRow {
        deployment_id, sequence, kind, snapshot, created_at,
    } in events);
    Write::insert("record events", "events", columns)
}

struct EventRow {
    deployment_id: Sql<DeploymentId>,
    sequence: i64,
    kind: Sql<EventKind>,
    snapshot: Json<Deployment>,
    created_at: Sql<Timestamp>,
}
