//! Deployments of which something is old, or all of it.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{load, with_conn};
use viridian_strategy::{DeploymentId, Lifecycle, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    row_count::expect_rows,
    schema::{deployments, events, history, revisions, routes},
    types::Sql,
};

impl StoreConnection {
    /// Lists deployments with revisions beyond their limit that they do not
    /// name, in id order after the given one.
    pub(crate) async fn list_over_limit(
        &mut self,
        after: DeploymentId,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = load!(self, {
            let beyond = diesel::dsl::sql::<diesel::sql_types::Bool>(BEYOND_AND_NOT_NAMED);
            deployments::table
                .inner_join(revisions::table.on(revisions::deployment_id.eq(deployments::id)))
                .filter(deployments::id.gt(Sql(after)))
                .filter(beyond)
                .order(deployments::id)
                .select(deployments::id)
                // The join has a row for each revision beyond the limit.
                .distinct()
                .limit(limit)
        })?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Lists deployments that were DESTROYED before a time, with ids between two.
    pub(crate) async fn list_tombstones(
        &mut self,
        before: Timestamp,
        after: DeploymentId,
        end: DeploymentId,
        limit: i64,
    ) -> Result<Vec<DeploymentId>, StoreError> {
        let ids: Vec<Sql<DeploymentId>> = load!(
            self,
            deployments::table
                .filter(deployments::id.gt(Sql(after)))
                .filter(deployments::id.lt(Sql(end)))
                .filter(deployments::lifecycle.eq(Sql(Lifecycle::Destroyed)))
                .filter(deployments::phase_started_at.lt(Sql(before)))
                .order(deployments::id)
                .limit(limit)
                .select(deployments::id)
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Deletes a DESTROYED deployment and all that is its own; gives how many
    /// there were.
    pub(crate) async fn delete_tombstone(&mut self, id: DeploymentId) -> Result<usize, StoreError> {
        let found = with_conn!(self, |c| deployments::table
            .find(Sql(id))
            .filter(deployments::lifecycle.eq(Sql(Lifecycle::Destroyed)))
            .count()
            .get_result::<i64>(c))?;
        // Another server may have deleted it since it was listed.
        if found == 0 {
            return Ok(0);
        }
        // First: it reads the position of the last event.
        self.forget_all_events(id).await?;
        self.delete_labels(id).await?;
        let id = Sql(id);
        // Before the revisions that they refer to. Their rows in `last_reports` go with them.
        with_conn!(&mut *self, |c| diesel::delete(routes::table)
            .filter(routes::deployment_id.eq(id))
            .execute(c))?;
        with_conn!(&mut *self, |c| diesel::delete(events::table)
            .filter(events::deployment_id.eq(id))
            .execute(c))?;
        with_conn!(&mut *self, |c| diesel::delete(history::table)
            .filter(history::deployment_id.eq(id))
            .execute(c))?;
        // The deployment names some of them; that is looked at when all is done.
        with_conn!(&mut *self, |c| diesel::delete(revisions::table)
            .filter(revisions::deployment_id.eq(id))
            .execute(c))?;
        let deleted = with_conn!(self, |c| diesel::delete(deployments::table.find(id))
            .execute(c))?;
        expect_rows("delete tombstone", 1, deleted)?;
        Ok(deleted)
    }
}

// With `<>`, a deployment that names no such revision would have NULL here, and keep all.
const BEYOND_AND_NOT_NAMED: &str = "\
    revisions.number <= deployments.last_revision - deployments.revision_history_limit \
    AND revisions.id IS DISTINCT FROM deployments.current_revision_id \
    AND revisions.id IS DISTINCT FROM deployments.deploying_revision_id \
    AND revisions.id IS DISTINCT FROM deployments.previous_revision_id";
