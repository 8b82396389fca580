//! The number of deployments of each kind, for the metrics.

use std::collections::BTreeMap;

use diesel::{
    dsl::{count_star, min},
    prelude::*,
};
use diesel_async::RunQueryDsl;
use viridian_engine::{RoundTrip, load, pipeline, with_conn};
use viridian_strategy::{Availability, Lifecycle, SubStep, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    record::{CountBy, Status},
    schema::deployments,
    types::{Json, Sql, timestamp},
};

/// The deployments in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCounts {
    /// The project, if each is counted; otherwise empty.
    pub project: String,
    /// Where they are.
    pub lifecycle: Lifecycle,
    /// Where they are while DEPLOYING.
    pub sub_step: Option<SubStep>,
    /// Whether they are paused.
    pub paused: bool,
    /// How well they serve.
    pub availability: Option<Availability>,
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
    Option<Sql<Availability>>,
    i64,
    Option<Sql<Timestamp>>,
    Option<Sql<Timestamp>>,
);

/// Counts deployments that are not DESTROYED, by where they are and by more columns. A
/// macro, since the columns are part of the types.
macro_rules! counted_by {
    ($(($column:expr))?) => {
        deployments::table
            .filter(deployments::lifecycle.ne(Sql(Lifecycle::Destroyed)))
            .group_by((
                $($column,)?
                deployments::lifecycle,
                deployments::sub_step,
                deployments::paused,
                deployments::availability,
            ))
            .select((
                $($column,)?
                (
                    deployments::lifecycle,
                    deployments::sub_step,
                    deployments::paused,
                    deployments::availability,
                        count_star(),
                    min(deployments::phase_started_at),
                    min(deployments::deadline_at),
                ),
            ))
    };
}

impl StoreConnection {
    /// Counts all deployments that are not DESTROYED, by where they are; and gives
    /// what time it is. It looks at each of them.
    pub(crate) async fn count_deployments(
        &mut self,
        round_trip: RoundTrip,
        by: CountBy,
    ) -> Result<(Vec<StateCounts>, Timestamp), StoreError> {
        match by {
            CountBy::All => {
                let (rows, now): (Vec<(CensusRow,)>, _) =
                    pipeline!(self, round_trip, counted_by!())?;
                let counts = rows.into_iter();
                let counts = counts.map(|(row,)| StateCounts::of(String::new(), row));
                Ok((counts.collect(), timestamp(now)))
            }
            CountBy::Project => {
                let (rows, now): (Vec<(String, CensusRow)>, _) =
                    pipeline!(self, round_trip, counted_by!((deployments::project)))?;
                let counts = rows.into_iter();
                let counts = counts.map(|(project, row)| StateCounts::of(project, row));
                Ok((counts.collect(), timestamp(now)))
            }
        }
    }

    /// Counts the deployments whose routes keep failing, by project if that is wanted.
    pub(crate) async fn count_backing_off(
        &mut self,
        by: CountBy,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        // A flag of the row: cheaper than one more group above.
        let counts: Vec<(String, i64)> = load!(
            self,
            deployments::table
                .filter(deployments::lifecycle.ne(Sql(Lifecycle::Destroyed)))
                .filter(deployments::backing_off)
                .group_by(deployments::project)
                .select((deployments::project, count_star()))
        )?;
        Ok(grouped(counts, by))
    }

    /// Counts the deployments whose first revision is recorded as failed, and has not come up
    /// since; by project if that is wanted.
    pub(crate) async fn count_first_failed(
        &mut self,
        by: CountBy,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        let counts: Vec<(String, i64)> = load!(
            self,
            deployments::table
                .filter(deployments::lifecycle.eq(Sql(Lifecycle::Pending)))
                .filter(deployments::current_revision_id.is_not_null())
                // Its clock is gone, and it has never been READY.
                .filter(deployments::coming_up.is_null())
                .group_by(deployments::project)
                .select((deployments::project, count_star()))
        )?;
        Ok(grouped(counts, by))
    }

    /// Counts the deployments whose canary has less of the traffic than its step asks for, by
    /// project if that is wanted.
    pub(crate) async fn count_short_canaries(
        &mut self,
        by: CountBy,
    ) -> Result<Vec<(String, i64)>, StoreError> {
        // Canaries are few, so their documents can be read here.
        let canaries: Vec<(String, Option<i32>, Json<Status>)> = load!(
            self,
            deployments::table
                .filter(deployments::weight_permille.gt(0))
                .select((
                    deployments::project,
                    deployments::weight_permille,
                    deployments::status
                ))
        )?;
        let mut short: BTreeMap<String, i64> = BTreeMap::new();
        for (project, asked, Json(status)) in canaries {
            // Projects without a short one are counted, too, as 0.
            let is_short = asked > Some(status.effective_permille.into());
            *short.entry(project).or_default() += i64::from(is_short);
        }
        Ok(grouped(short.into_iter().collect(), by))
    }

    /// Counts the deployments that are due by a time.
    pub(crate) async fn count_due(&mut self, by: Timestamp) -> Result<i64, StoreError> {
        Ok(with_conn!(self, |c| deployments::table
            .filter(deployments::due_at.le(Sql(by)))
            .count()
            .get_result(c))?)
    }
}

/// Counts of projects, as they are wanted.
fn grouped(counts: Vec<(String, i64)>, by: CountBy) -> Vec<(String, i64)> {
    match by {
        CountBy::All => vec![(String::new(), counts.iter().map(|(_, count)| count).sum())],
        CountBy::Project => counts,
    }
}

impl StateCounts {
    fn of(project: String, row: CensusRow) -> Self {
        let (lifecycle, sub_step, paused, availability, count, since, deadline) = row;
        Self {
            project,
            lifecycle: lifecycle.0,
            sub_step: sub_step.map(|Sql(step)| step),
            paused,
            availability: availability.map(|Sql(it)| it),
            count,
            // A group has one at least.
            since: since.map(|Sql(at)| at).unwrap_or_default(),
            deadline: deadline.map(|Sql(at)| at),
        }
    }
}
