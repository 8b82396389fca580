//! Prune: deletes rows past retention.
//!
//! What is found in a look outside any transaction stays so for good: what is
//! old only gets older, a route that is over is never anything else again, and
//! activations are only numbered upwards. So it may be deleted by its key later.
//! Revisions are the exception, since one may be activated again: those are
//! looked for under their deployment's lock. Batches are small and each is a
//! transaction of its own, so that no call waits long for one.

use std::{collections::BTreeMap, time::Duration};

use uuid::Uuid;
use viridian_engine::{LimitError, WaitStart, Write};
use viridian_strategy::{DeploymentId, RevisionId, RouteId, Timestamp};

use crate::{
    Store,
    deployments::{NewState, update_deployments},
    error::StoreError,
    record::{Deployment, RequestId},
    transaction::UnitTransaction,
    units::lock::Locked,
};

/// For how long things are kept that nothing depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Events, by which watches resume; the last one of each deployment that is so
    /// old stays.
    pub events: Duration,
    /// History; the newest 1,000 moves of each deployment stay.
    pub history: Duration,
    /// Routes that are over, from then on. Those that failed in the current or the
    /// last activation stay. A revision beyond its deployment's
    /// `revision_history_limit` stays as long: that many of the newest ones
    /// are kept, and those that are current, deploying, previous or retained.
    pub routes: Duration,
    /// Destroyed deployments, with all that is theirs.
    pub deployments: Duration,
}

/// How many rows were deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Replies to request ids.
    pub replies: usize,
    /// Events.
    pub events: usize,
    /// Moves in history.
    pub history: usize,
    /// Routes that are not counted elsewhere.
    pub routes: usize,
    /// Revisions.
    pub revisions: usize,
    /// Deployments.
    pub deployments: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            events: 7 * DAY,
            history: 90 * DAY,
            routes: DAY,
            deployments: 30 * DAY,
        }
    }
}

impl Retention {
    /// Whether every age can work: none is so short that something that is still
    /// of use would go, nor longer than ten years.
    ///
    /// # Errors
    ///
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), LimitError> {
        LimitError::check_duration("retain-events", self.events, HOUR..=MAX_AGE)?;
        LimitError::check_duration("retain-history", self.history, HOUR..=MAX_AGE)?;
        // Failures of the last hour lengthen the back-off.
        LimitError::check_duration("retain-routes", self.routes, HOUR..=MAX_AGE)?;
        // A reply is never about a deployment that is gone.
        LimitError::check_duration(
            "retain-deployments",
            self.deployments,
            REPLY_RETENTION..=MAX_AGE,
        )
    }
}

impl Store {
    /// Deletes rows past retention: replies to request ids after 24 hours, the rest
    /// by `retention`. Dropped half-way, it has done a part.
    ///
    /// # Errors
    ///
    /// When the database fails; what was deleted before that stays deleted.
    pub async fn prune(&self, retention: &Retention) -> Result<Pruned, StoreError> {
        // What is deleted by a clock that was set forward is gone.
        self.expect_steady_clock().await?;
        let now = self.now().await?;
        self.prune_as_of(retention, now).await
    }

    /// The same, as if it were `now`.
    pub(crate) async fn prune_as_of(
        &self,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Pruned, StoreError> {
        Ok(Pruned {
            replies: self.prune_replies(now - REPLY_RETENTION).await?,
            events: self.prune_events(now - retention.events).await?,
            history: self.prune_history(now - retention.history).await?,
            routes: self.prune_routes(now - retention.routes).await?,
            revisions: self.prune_revisions(now - retention.routes).await?,
            deployments: self.prune_deployments(now - retention.deployments).await?,
        })
    }

    async fn prune_replies(&self, before: Timestamp) -> Result<usize, StoreError> {
        let (mut pruned, mut after): (_, Option<RequestId>) = (0, None);
        loop {
            let mut reader = self.reader().await?;
            let batch = reader
                .list_old_replies(before, after, MAX_ROWS_PER_DELETE)
                .await?;
            // Returned before a writer is waited for: two prunes could otherwise use up the pool.
            drop(reader);
            after = batch.last().copied();
            if after.is_none() {
                return Ok(pruned);
            }
            pruned += self
                .write(async |tx: &mut UnitTransaction| {
                    tx.connection().await?.delete_replies(batch, before).await
                })
                .await?;
        }
    }

    /// A position is handed out in the order of sequences within a deployment:
    /// what goes is the beginning of its events, and what stays has no gap.
    async fn prune_events(&self, before: Timestamp) -> Result<usize, StoreError> {
        let (mut pruned, mut after) = (0, 0);
        loop {
            let mut reader = self.reader().await?;
            let batch = reader
                .list_old_events(before, after, MAX_ROWS_PER_DELETE)
                .await?;
            drop(reader);
            let Some(&(last, ..)) = batch.last() else {
                return Ok(pruned);
            };
            after = last;
            let ends = ends(batch.into_iter().map(|(_, of, sequence)| (of, sequence)));
            pruned += self
                .write(async |tx: &mut UnitTransaction| {
                    let mut deleted = 0;
                    for (deployment, sequence) in ends {
                        let connection = tx.connection().await?;
                        deleted += connection.delete_events(deployment, sequence).await?;
                    }
                    // In the same transaction. A watch that resumes must find either its events or
                    // a horizon after them.
                    tx.connection().await?.forget_events(last).await?;
                    Ok::<_, StoreError>(deleted)
                })
                .await?;
        }
    }

    async fn prune_history(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut pruned = 0;
        loop {
            let mut reader = self.reader().await?;
            // Without a cursor: all that is found is deleted, so that each round finds others.
            let batch = reader
                .list_old_moves(before, MIN_HISTORY_KEPT, MAX_ROWS_PER_DELETE)
                .await?;
            drop(reader);
            if batch.is_empty() {
                return Ok(pruned);
            }
            let ends = ends(batch.into_iter());
            pruned += self
                .write(async |tx: &mut UnitTransaction| {
                    let mut deleted = 0;
                    for (deployment, last) in ends {
                        deleted += tx
                            .connection()
                            .await?
                            .delete_moves(deployment, last)
                            .await?;
                    }
                    Ok::<_, StoreError>(deleted)
                })
                .await?;
        }
    }

    async fn prune_routes(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut pruned = 0;
        let mut after = RouteId(Uuid::nil());
        // Ids are in the order of time: a range of them is all that is scanned.
        let end = RouteId(first_id(before));
        loop {
            let mut reader = self.reader().await?;
            let batch = reader
                .list_old_routes(before, after, end, MAX_ROWS_PER_DELETE)
                .await?;
            drop(reader);
            let Some(&last) = batch.last() else {
                return Ok(pruned);
            };
            after = last;
            pruned += self
                .write(async |tx: &mut UnitTransaction| {
                    tx.connection().await?.delete_routes(batch).await
                })
                .await?;
        }
    }

    async fn prune_revisions(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut pruned = 0;
        let mut after = DeploymentId(Uuid::nil());
        loop {
            let mut reader = self.reader().await?;
            let batch = reader.list_over_limit(after, MAX_ROWS_PER_DELETE).await?;
            drop(reader);
            let Some(&last) = batch.last() else {
                return Ok(pruned);
            };
            after = last;
            for id in batch {
                pruned += match self.prune_revisions_of(id, before).await {
                    // A deployment that cannot be read holds up no other.
                    Err(StoreError::Corrupt { .. } | StoreError::LockTimeout) => 0,
                    result => result?,
                };
            }
        }
    }

    async fn prune_revisions_of(
        &self,
        id: DeploymentId,
        before: Timestamp,
    ) -> Result<usize, StoreError> {
        self.write_locked(WaitStart::now(), [id], async |tx: &mut UnitTransaction| {
            let Some(locked) = tx.lock(id).await? else {
                return Ok(0);
            };
            let deployment = &locked.deployment;
            let connection = tx.connection().await?;
            // From the locked row: a revision that is activated meanwhile would be named and yet
            // deleted.
            let beyond = deployment.last_revision - i64::from(deployment.revision_history_limit);
            let old = connection.list_old_revisions(id, beyond).await?;
            let in_use = connection.list_revisions_in_use(id, before).await?;
            let expendable = expendable(deployment, old, &in_use);
            // Before the revisions that they refer to.
            connection.delete_routes_of(id, expendable.clone()).await?;
            let used = connection.measure_revisions(id, Some(&expendable)).await?;
            let deleted = connection.delete_revisions(expendable.clone()).await?;
            tx.count_usage(&locked.deployment.project, used.negated());
            tx.write(without_served(locked, &expendable));
            Ok(deleted)
        })
        .await
    }

    async fn prune_deployments(&self, before: Timestamp) -> Result<usize, StoreError> {
        let mut pruned = 0;
        let mut after = DeploymentId(Uuid::nil());
        // One that was created later cannot have been DESTROYED before, so a range is scanned.
        let end = DeploymentId(first_id(before));
        loop {
            let mut reader = self.reader().await?;
            let batch = reader
                .list_tombstones(before, after, end, MAX_ROWS_PER_DELETE)
                .await?;
            drop(reader);
            let Some(&last) = batch.last() else {
                return Ok(pruned);
            };
            after = last;
            for id in batch {
                pruned += self
                    .write(async |tx: &mut UnitTransaction| {
                        let connection = tx.connection().await?;
                        let used = connection.measure_tombstone(id).await?;
                        let deleted = connection.delete_tombstone(id).await?;
                        // Another server may have deleted it, which has counted it then. If it
                        // does so at this moment, a wrong count of rows rolls this back.
                        if let Some((project, used)) = used.filter(|_| deleted > 0) {
                            tx.count_usage(&project, used.negated());
                        }
                        Ok::<_, StoreError>(deleted)
                    })
                    .await?;
            }
        }
    }
}

/// The revisions beyond the limit that can be deleted: those that nothing names and no
/// route needs, up to [`MAX_REVISIONS_PER_DELETE`].
fn expendable(
    deployment: &Deployment,
    beyond: Vec<RevisionId>,
    in_use: &[RevisionId],
) -> Vec<RevisionId> {
    let state = &deployment.state;
    // Of those that served only the last one: the others are as old as any.
    let named = [state.current(), state.deploying(), deployment.served.last()];
    beyond
        .into_iter()
        .filter(|id| !named.contains(&Some(*id)) && !in_use.contains(id))
        .take(MAX_REVISIONS_PER_DELETE)
        .collect()
}

/// Takes revisions that are deleted from those that a roll-back may lead to.
fn without_served(locked: Locked, gone: &[RevisionId]) -> Option<Write> {
    let mut deployment = locked.deployment;
    let before = deployment.served.clone();
    deployment.served.remove(gone);
    (deployment.served != before).then(|| {
        update_deployments(vec![NewState {
            // Unchanged: no client sees this, so it is no event.
            sequence: deployment.sequence,
            deployment,
            table: locked.table,
            table_commit: locked.table_commit,
            open_entries: locked.open_entries,
            due_at: locked.due_at,
        }])
    })
}

/// The highest number of each deployment: what is below it goes with it.
fn ends(rows: impl Iterator<Item = (DeploymentId, i64)>) -> BTreeMap<DeploymentId, i64> {
    let mut ends = BTreeMap::new();
    for (deployment, number) in rows {
        let end = ends.entry(deployment).or_insert(number);
        *end = number.max(*end);
    }
    ends
}

/// The lowest id that can have been made at a time, to the millisecond.
fn first_id(at: Timestamp) -> Uuid {
    let milliseconds = at.as_micros().max(0).unsigned_abs() / 1_000;
    // A UUID of version 7 begins with 48 bits of milliseconds.
    Uuid::from_u128(u128::from(milliseconds) << 80)
}

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_AGE: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// For how long a repeat of a request gets the first reply.
const REPLY_RETENTION: Duration = DAY;
const MIN_HISTORY_KEPT: i64 = 1_000;
/// About how many rows a transaction deletes.
const MAX_ROWS_PER_DELETE: i64 = 500;
// The deployment is locked while they are deleted, and its callers wait.
const MAX_REVISIONS_PER_DELETE: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_age_is_too_short_to_work() {
        Retention::default().check().expect("the default works");
        let short = Retention {
            deployments: 2 * HOUR,
            ..Retention::default()
        };
        let error = short.check().expect_err("replies would be left");
        assert_eq!(error.to_string(), "must be 1d to 3650d");
        let long = Retention {
            events: Duration::MAX,
            ..Retention::default()
        };
        assert_eq!(long.check().expect_err("for ever").flag, "retain-events");
    }

    #[test]
    fn ids_are_in_the_order_of_time() {
        let (seconds, _) = Uuid::now_v7()
            .get_timestamp()
            .expect("it has one")
            .to_unix();
        let at = |seconds: u64| Timestamp::from_micros(seconds.cast_signed() * 1_000_000);
        let id = Uuid::now_v7();
        assert!(first_id(at(seconds)) < id && id < first_id(at(seconds + 60)));
    }
}
