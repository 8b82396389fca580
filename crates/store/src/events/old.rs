//! Events that are old, and how far back the log reaches without them.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{load, with_conn};
use viridian_strategy::{DeploymentId, Timestamp};

use super::EventFilter;
use crate::{
    connection::StoreConnection,
    error::StoreError,
    row_count::expect_rows,
    schema::{deployments, events, horizon},
    types::Sql,
};

/// The positions at or before which some of the log is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Horizon {
    /// Of deployments that are there.
    pub(crate) events: i64,
    /// Of deployments that are gone.
    pub(crate) deployments: i64,
}

impl StoreConnection {
    /// Lists events older than a time and after a position, oldest first, each
    /// with its position. Only those whose next one is as old: the state of a
    /// deployment at that time, and at any later one, stays known.
    pub(crate) async fn list_old_events(
        &mut self,
        before: Timestamp,
        after: i64,
        limit: i64,
    ) -> Result<Vec<(i64, DeploymentId, i64)>, StoreError> {
        let next = diesel::alias!(events as next);
        let is_next = next
            .field(events::deployment_id)
            .eq(events::deployment_id)
            .and(next.field(events::sequence).eq(events::sequence + 1));
        let rows: Vec<(i64, Sql<DeploymentId>, i64)> = load!(
            self,
            events::table
                .inner_join(next.on(is_next))
                .filter(events::position.gt(after))
                .filter(events::created_at.lt(Sql(before)))
                .filter(next.field(events::created_at).lt(Sql(before)))
                .order(events::position)
                .limit(limit)
                .select((events::position, events::deployment_id, events::sequence))
        )?;
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

    /// Notes that events of deployments that stay are gone, up to a position.
    pub(crate) async fn forget_events(&mut self, up_to: i64) -> Result<(), StoreError> {
        // Never back: another server may have pruned further.
        with_conn!(self, |c| diesel::update(horizon::table)
            .filter(horizon::events.lt(up_to))
            .set(horizon::events.eq(up_to))
            .execute(c))?;
        Ok(())
    }

    /// Notes that all events of a deployment are going with it.
    pub(crate) async fn forget_all_events(&mut self, of: DeploymentId) -> Result<(), StoreError> {
        let last: Option<i64> = with_conn!(&mut *self, |c| events::table
            .filter(events::deployment_id.eq(Sql(of)))
            .select(diesel::dsl::max(events::position))
            .get_result(c))?;
        let last = last.unwrap_or(0);
        // Never back: a later event may have gone with another deployment.
        with_conn!(self, |c| diesel::update(horizon::table)
            .filter(horizon::deployments.lt(last))
            .set(horizon::deployments.eq(last))
            .execute(c))?;
        Ok(())
    }

    /// Gives how far back the log reaches.
    pub(crate) async fn horizon(&mut self) -> Result<Horizon, StoreError> {
        let rows: Vec<(i64, i64)> = load!(
            self,
            horizon::table.select((horizon::events, horizon::deployments))
        )?;
        // The row comes with the schema. Without it, a log with gaps would seem complete.
        expect_rows("read horizon", 1, rows.len())?;
        let (events, deployments) = rows[0];
        Ok(Horizon {
            events,
            deployments,
        })
    }

    /// Whether events after a position that match a filter were deleted, or may
    /// have been.
    pub(crate) async fn is_forgotten_behind(
        &mut self,
        filter: &EventFilter,
        position: i64,
    ) -> Result<bool, StoreError> {
        // Nothing after the horizon was pruned, so for a position there no event is looked at.
        let horizon = self.horizon().await?;
        Ok(self.is_one_forgotten(filter, position, horizon).await?
            || position < horizon.events && self.is_one_cut_off(filter, position).await?)
    }

    /// Whether it is not known any more, or may not be, how the deployments that
    /// a filter asks for were at a position.
    pub(crate) async fn is_forgotten_at(
        &mut self,
        filter: &EventFilter,
        position: i64,
    ) -> Result<bool, StoreError> {
        let horizon = self.horizon().await?;
        // Also if all events after it are there: those before it may be gone.
        Ok(self.is_one_forgotten(filter, position, horizon).await?
            || self.is_one_cut_off(filter, position).await?)
    }

    /// Whether a deployment that the filter names was deleted with all its events,
    /// of which some were after a position, or may have been.
    async fn is_one_forgotten(
        &mut self,
        filter: &EventFilter,
        position: i64,
        horizon: Horizon,
    ) -> Result<bool, StoreError> {
        // A project is asked for as a whole: which deployments it had is not known any more.
        Ok(position < horizon.deployments
            && (!filter.projects.is_empty() || self.is_one_gone(filter).await?))
    }

    /// Whether a deployment that is asked for is not there any more.
    async fn is_one_gone(&mut self, filter: &EventFilter) -> Result<bool, StoreError> {
        let ids: Vec<_> = filter.deployments.iter().copied().map(Sql).collect();
        let asked_for = filter.deployments.len();
        let there: i64 = with_conn!(self, |c| deployments::table
            .filter(deployments::id.eq_any(ids))
            .count()
            .get_result(c))?;
        Ok(usize::try_from(there) != Ok(asked_for))
    }

    /// Whether the events of a deployment begin after a position, and not with
    /// its first.
    async fn is_one_cut_off(
        &mut self,
        filter: &EventFilter,
        position: i64,
    ) -> Result<bool, StoreError> {
        let ids: Vec<_> = filter.deployments.iter().copied().map(Sql).collect();
        let projects = filter.projects.clone();
        let earlier = diesel::alias!(events as earlier);
        let has_earlier = earlier
            .filter(
                earlier
                    .field(events::deployment_id)
                    .eq(events::deployment_id)
                    .and(earlier.field(events::sequence).eq(events::sequence - 1)),
            )
            .select(earlier.field(events::position));
        let cut_off: i64 = with_conn!(self, |c| events::table
            .inner_join(deployments::table.on(deployments::id.eq(events::deployment_id)))
            .filter(
                events::deployment_id
                    .eq_any(ids)
                    .or(deployments::project.eq_any(projects))
            )
            .filter(events::position.gt(position))
            .filter(events::sequence.gt(1))
            .filter(diesel::dsl::not(diesel::dsl::exists(has_earlier)))
            .count()
            .get_result(c))?;
        Ok(cut_off > 0)
    }
}
