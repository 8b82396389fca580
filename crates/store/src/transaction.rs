//! A transaction of a unit of work.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use viridian_engine::{CommitHook, RoundTrip, Write, now};
use viridian_strategy::{ProjectUsage, Timestamp};

use crate::{
    connection::StoreConnection,
    error::StoreError,
    jump_detector::ClockJumps,
    notifier::{CommitNotice, Notifier},
    telemetry::TransitionLog,
    types::timestamp,
    usage::{LimitedChange, QuotaSource, UsageChanges},
};

/// A transaction that is either committed or leaves nothing behind. It collects what is
/// written, and what others learn after the commit.
pub(crate) struct UnitTransaction {
    inner: viridian_engine::SqlTransaction<StoreConnection>,
    now: Option<Timestamp>,
    health_ttl: Option<Duration>,
    quotas: QuotaSource,
    clock_jumps: Option<Arc<ClockJumps>>,
    usage: UsageChanges,
    notices: Vec<CommitNotice>,
    moved: Vec<TransitionLog>,
}

impl UnitTransaction {
    pub(crate) fn new(
        inner: viridian_engine::SqlTransaction<StoreConnection>,
        health_ttl: Option<Duration>,
        quotas: QuotaSource,
        clock_jumps: Option<Arc<ClockJumps>>,
    ) -> Self {
        Self {
            inner,
            now: None,
            health_ttl,
            quotas,
            clock_jumps,
            usage: UsageChanges::default(),
            notices: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// How long a reported health counts.
    pub(crate) fn health_ttl(&self) -> Option<Duration> {
        self.health_ttl
    }

    /// Returns the connection, for a statement whose result is needed now.
    pub(crate) async fn connection(&mut self) -> Result<&mut StoreConnection, StoreError> {
        Ok(self.inner.connection().await?)
    }

    /// Returns the connection, for several statements in one round trip.
    pub(crate) fn round_trip(&mut self) -> Result<(&mut StoreConnection, RoundTrip), StoreError> {
        Ok(self.inner.round_trip()?)
    }

    /// Returns the time that decides: one for the whole transaction, read once its locks are
    /// held.
    pub(crate) async fn now(&mut self) -> Result<Timestamp, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let (connection, round_trip) = self.inner.round_trip()?;
        let now = now(connection, round_trip).await?;
        Ok(self.as_of(timestamp(now)))
    }

    /// Refuses to decide by a time, asked for at some moment, to which the clock was only now
    /// set. The next poll corrects that.
    pub(crate) fn check_clock(&self, now: Timestamp, asked: Instant) -> Result<(), StoreError> {
        let jumps = self.clock_jumps.as_deref();
        let jump = jumps.and_then(|it| it.detector.observe(now, asked, Instant::now()));
        jump.map_or(Ok(()), |_| Err(StoreError::ClockSet))
    }

    /// Sets the time if it was read with other statements. The first one counts.
    pub(crate) fn as_of(&mut self, now: Timestamp) -> Timestamp {
        *self.now.get_or_insert(now)
    }

    /// Shortens the session's `lock_timeout` for this transaction. SQLite has none.
    pub(crate) async fn limit_lock_wait(&mut self, left: Duration) -> Result<(), StoreError> {
        // LOCAL ends with the transaction: the connection's next user has the session's timeout.
        let limit = format!("SET LOCAL lock_timeout = {}", left.as_millis());
        let connection = self.inner.connection().await?;
        connection.execute(&limit).await
    }

    /// Collects what is written.
    pub(crate) fn write(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.inner.write(writes);
    }

    /// Collects how what a project uses changes.
    pub(crate) fn count_usage(&mut self, project: &str, change: ProjectUsage) {
        self.usage.add(project, change);
    }

    /// Returns whether a quota may refuse a change of a project.
    pub(crate) fn is_limited(&self, project: &str, change: &ProjectUsage) -> bool {
        // Without growth there is no need to ask: so it is with most changes.
        *change != ProjectUsage::default() && self.quotas.of(project).limits(change)
    }

    /// Returns what was counted so far that a quota may refuse.
    pub(crate) fn limited_changes(&self) -> Vec<LimitedChange> {
        self.usage.limited(&self.quotas)
    }

    /// Refuses changes that a quota does not allow, and says why. Another transaction may
    /// still come first: what is written has the same condition.
    pub(crate) async fn check_quotas(
        &mut self,
        limited: &[LimitedChange],
    ) -> Result<(), StoreError> {
        // Without a lock, which would make callers of one project wait for each other's whole
        // transactions. It only shows the caller what is used; the write decides.
        for change in limited {
            let used = self.connection().await?.find_usage(&change.project).await?;
            change.check(&used)?;
        }
        Ok(())
    }

    /// Refuses a change that is not made if a quota would not allow it.
    pub(crate) async fn check_quota(
        &mut self,
        project: &str,
        change: ProjectUsage,
    ) -> Result<(), StoreError> {
        let mut only = UsageChanges::default();
        only.add(project, change);
        let limited = only.limited(&self.quotas);
        self.check_quotas(&limited).await
    }

    /// Adds what was counted to what is written. Last, since transactions of one project wait
    /// for each other here.
    pub(crate) fn write_usage(&mut self, limited: &[LimitedChange]) {
        let usage = std::mem::take(&mut self.usage);
        self.inner.write(usage.writes(limited));
    }

    /// Collects what is logged of moves once they are committed.
    pub(crate) fn tell(&mut self, moved: Option<TransitionLog>) {
        self.moved.extend(moved);
    }

    /// Collects what other tasks learn once it is committed.
    pub(crate) fn notify_on_commit(&mut self, notice: CommitNotice) {
        self.notices.push(notice);
    }

    /// Commits, and then notifies others. They are also notified if it is unknown whether it
    /// was committed: an unnecessary look costs little.
    pub(crate) async fn commit(self, notifier: Notifier) -> Result<(), StoreError> {
        let hook = NotifyOnDrop {
            notifier,
            sent: false,
            notices: self.notices,
            moved: self.moved,
        };
        Ok(self.inner.commit(hook).await?)
    }

    /// Rolls back.
    pub(crate) async fn rollback(self) -> Result<(), StoreError> {
        Ok(self.inner.rollback().await?)
    }
}

/// Notifies others when a COMMIT is over, however it ended.
struct NotifyOnDrop {
    notifier: Notifier,
    /// Whether COMMIT was sent: before that there is nothing to notify of.
    sent: bool,
    notices: Vec<CommitNotice>,
    moved: Vec<TransitionLog>,
}

impl CommitHook for NotifyOnDrop {
    fn sending(&mut self) {
        self.sent = true;
    }

    fn rolled_back(&mut self) {
        self.sent = false;
    }

    fn committed(&mut self) {
        std::mem::take(&mut self.moved)
            .into_iter()
            .for_each(TransitionLog::tell);
    }
}

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        if self.sent {
            self.notifier.notify(std::mem::take(&mut self.notices));
        }
    }
}
