//! The number of deployments of each kind, for the metrics.

use diesel::{
    dsl::{count_star, min},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use viridian_engine::{RoundTrip, pipeline, with_conn};
use viridian_strategy::{Lifecycle, SubStep, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    schema::deployments,
    types::{Sql, timestamp},
};

/// The deployments in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCounts {
    /// Where they are.
    pub lifecycle: Lifecycle,
    /// Where they are while DEPLOYING.
    pub sub_step: Option<SubStep>,
    /// Whether they are paused.
    pub paused: bool,
    /// How many there are.
    pub count: i64,
    /// Since when the first of them is there.
    pub since: Timestamp,
    /// The first deadline that one of them has.
    pub deadline: Option<Timestamp>,
}

type CensusRow = (
    Sql<Lifecycle>,
    Option<Sql<SubStep>>,
    bool,
    i64,
    Option<Sql<Timestamp>>,
    Option<Sql<Timestamp>>,
);

impl StoreConnection {
    /// Counts all deployments that are not DESTROYED, by where they are; and gives
    /// what time it is. It looks at each of them.
    pub(crate) async fn count_deployments(
        &mut self,
        round_trip: RoundTrip,
    ) -> Result<(Vec<StateCounts>, Timestamp), StoreError> {
        let (rows, now): (Vec<CensusRow>, _) = pipeline!(
            self,
            round_trip,
            deployments::table
                .filter(deployments::lifecycle.ne(Sql(Lifecycle::Destroyed)))
                .group_by((
                    deployments::lifecycle,
                    deployments::sub_step,
                    deployments::paused,
                ))
                .select((
                    deployments::lifecycle,
                    deployments::sub_step,
                    deployments::paused,
                    count_star(),
                    min(deployments::phase_started_at),
                    min(deployments::deadline_at),
                ))
        )?;
        Ok((
            rows.into_iter().map(StateCounts::from).collect(),
            timestamp(now),
        ))
    }

    /// Counts the deployments that are due by a time.
    pub(crate) async fn count_due(&mut self, by: Timestamp) -> Result<i64, StoreError> {
        Ok(with_conn!(self, |c| deployments::table
            .filter(deployments::due_at.le(Sql(by)))
            .count()
            .get_result(c))?)
    }
}

impl From<CensusRow> for StateCounts {
    fn from((lifecycle, sub_step, paused, count, since, deadline): CensusRow) -> Self {
        Self {
            lifecycle: lifecycle.0,
            sub_step: sub_step.map(|Sql(step)| step),
            paused,
            count,
            // A group has one at least.
            since: since.map(|Sql(at)| at).unwrap_or_default(),
            deadline: deadline.map(|Sql(at)| at),
        }
    }
}
