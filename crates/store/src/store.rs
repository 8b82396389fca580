//! Opens the record, reads from it, and runs units of work on it.

use std::{sync::Arc, thread::available_parallelism, time::Duration};

use tokio::sync::broadcast;
use viridian_engine::{
    Engine, KeyedLocks, Limits, Location, OpenError, RoundTrip, SqlTransaction, WaitStart,
    WriteFault, now,
    telemetry::{TransactionEnd, measured},
};
use viridian_strategy::{DeploymentId, Timestamp};

use crate::{
    batcher::CommitBatcher,
    clock_watch::ClockWatch,
    connection::StoreConnection,
    error::StoreError,
    jump_detector::ClockJumps,
    last_seen::LastSeen,
    log_identity::LogIdentity,
    migrations::MIGRATIONS,
    notifier::{Notification, Notifier},
    revision_cache::RevisionCache,
    transaction::UnitTransaction,
    types::timestamp,
    usage::{COUNT_USAGE, LimitedChange, QuotaSource},
};

/// Viridian's record, in a database of either engine. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Engine,
    notifier: Notifier,
    /// Callers of one deployment wait here without a connection.
    locks: KeyedLocks<DeploymentId>,
    batcher: CommitBatcher<Self>,
    /// One for all clones.
    clock_watch: Arc<ClockWatch>,
    last_seen: Arc<LastSeen>,
    health_ttl: Option<Duration>,
    log: Arc<LogIdentity>,
    revisions: Arc<RevisionCache>,
    max_readers: u32,
    /// None where a test sets the clock.
    clock_jumps: Option<Arc<ClockJumps>>,
    quotas: QuotaSource,
}

impl Store {
    /// Opens the database that a URL names, `sqlite:PATH` or `postgres://…`, and brings its
    /// schema up to date. Needs a multi-thread runtime.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that is one clear sentence.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_within(url, Limits::default()).await
    }

    /// Opens a database within limits that were checked.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that is one clear sentence.
    pub async fn open_within(url: &str, limits: Limits) -> Result<Self, OpenError> {
        let engine = Engine::open(&Location::parse(url)?, limits, MIGRATIONS).await?;
        // While the database runs one batch another one gathers, also on SQLite's one
        // writer. More of them make batches smaller, and no faster.
        let max_readers = match engine.has_one_writer() {
            true => limits.readers,
            false => limits.connections,
        };
        let max_batches = match engine.has_one_writer() {
            true => 2,
            false => available_parallelism().map_or(2, |cores| cores.get().max(2)),
        };
        let reader = engine
            .reader(WaitStart::now())
            .await
            .map_err(StoreError::from);
        let log = match reader {
            Ok(reader) => StoreConnection::from(reader).log_identity().await,
            Err(error) => Err(error),
        };
        let log = log.map_err(|error| OpenError::Unavailable(error.to_string()))?;
        Ok(Self {
            engine,
            notifier: Notifier::new(),
            locks: KeyedLocks::new(limits.lock_timeout),
            batcher: CommitBatcher::new(max_batches),
            clock_watch: Arc::default(),
            last_seen: Arc::default(),
            health_ttl: None,
            clock_jumps: None,
            quotas: QuotaSource::default(),
            log: Arc::new(log),
            revisions: Arc::default(),
            max_readers,
        })
    }

    /// Returns which log this is, as it was when the database was opened.
    pub fn log(&self) -> &LogIdentity {
        &self.log
    }

    pub(crate) fn revisions(&self) -> &RevisionCache {
        &self.revisions
    }

    /// Has no decision rest on a health that was observed longer ago than this. None:
    /// a reported health counts until the next report.
    pub fn with_health_ttl(self, health_ttl: Option<Duration>) -> Self {
        Self { health_ttl, ..self }
    }

    /// Refuses what exceeds the quotas of a project.
    pub fn with_quotas(self, quotas: QuotaSource) -> Self {
        Self { quotas, ..self }
    }

    /// Returns what says the quotas.
    pub fn quotas(&self) -> &QuotaSource {
        &self.quotas
    }

    /// Has the time that decides go on as it did when the clock is set.
    pub fn with_steady_clock(self) -> Self {
        Self {
            clock_jumps: Some(Arc::new(ClockJumps::new())),
            ..self
        }
    }

    pub(crate) fn clock_jumps(&self) -> Option<&ClockJumps> {
        self.clock_jumps.as_deref()
    }

    pub(crate) fn health_ttl(&self) -> Option<Duration> {
        self.health_ttl
    }

    /// The times of reports to this process that are not written down yet.
    pub(crate) fn last_seen(&self) -> &LastSeen {
        &self.last_seen
    }

    /// Receives what is committed from now on, in this process and, as far as
    /// [`Store::relay`] learns of it, in others.
    pub fn subscribe(&self) -> broadcast::Receiver<Notification> {
        self.notifier.subscribe()
    }

    /// Returns the time that decides.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let now = now(&mut self.reader().await?, self.round_trip()).await?;
        Ok(timestamp(now))
    }

    /// Returns a connection to read with. No decision is made on what it reads.
    ///
    /// # Errors
    ///
    /// When none is free in time, or the database cannot be reached.
    pub async fn reader(&self) -> Result<StoreConnection, StoreError> {
        self.reader_since(WaitStart::now()).await
    }

    /// Returns a connection to read with, to a call that may have waited already.
    pub(crate) async fn reader_since(
        &self,
        since: WaitStart,
    ) -> Result<StoreConnection, StoreError> {
        Ok(self.engine.reader(since).await?.into())
    }

    pub(crate) fn round_trip(&self) -> RoundTrip {
        self.engine.round_trip()
    }

    /// Returns how many connections there are to read with.
    pub fn max_readers(&self) -> u32 {
        self.max_readers
    }

    /// Returns whether all writes go through one connection.
    pub fn has_one_writer(&self) -> bool {
        self.engine.has_one_writer()
    }

    /// Returns how long ago the database answered, also if it was asked nothing. SQLite is a
    /// part of this process, and always answers.
    pub fn unanswered_for(&self) -> Duration {
        self.engine.unanswered_for()
    }

    /// Returns why nothing can be written, though the database answers.
    pub fn write_fault(&self) -> Option<WriteFault> {
        self.engine.write_fault()
    }

    /// Looks whether the database can be written, which a call finds only when it writes. What
    /// is found shows in [`Store::write_fault`].
    pub async fn probe_writes(&self) {
        self.engine.probe_writes().await;
    }

    /// Resolves when the thread that checkpoints SQLite's file has panicked, with its message.
    /// From then on the writer checkpoints, and every caller waits for that.
    pub async fn checkpointer_failure(&self) -> String {
        self.engine.checkpointer_failure().await
    }

    /// Returns how many connections are in use, and how many there may be. On SQLite those
    /// are the readers.
    pub fn connections_in_use(&self) -> (usize, usize) {
        self.engine.connections_in_use()
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    pub(crate) fn batcher(&self) -> &CommitBatcher<Self> {
        &self.batcher
    }

    pub(crate) fn clock_watch(&self) -> &ClockWatch {
        &self.clock_watch
    }

    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.engine.acquire_timeout()
    }

    /// Returns how long a call may still wait for locks, unless nearly all its time is left.
    pub(crate) fn lock_time_left(&self, since: WaitStart) -> Option<Duration> {
        self.locks.time_left(since)
    }

    pub(crate) fn busy_timeout(&self) -> Duration {
        self.engine.busy_timeout()
    }

    /// Runs a unit of work: commits if it returns Ok, and leaves nothing behind if it returns
    /// an error or is cancelled before that. A unit that waits for the locks of deployments
    /// says which: [`write_locked`](Self::write_locked).
    pub(crate) async fn write<T, E: From<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_since(WaitStart::now(), work).await
    }

    async fn write_since<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let begun = self.engine.begin(since).await.map_err(StoreError::from)?;
        self.run(self.transaction(begun), work).await
    }

    fn transaction(&self, begun: SqlTransaction<StoreConnection>) -> UnitTransaction {
        // SQLite's time is this process's own, and never jumps.
        let jumps = self.clock_jumps.clone().filter(|_| !self.has_one_writer());
        UnitTransaction::new(begun, self.health_ttl, self.quotas.clone(), jumps)
    }

    /// Runs a unit of work of many calls, which it takes once its transaction has begun: see
    /// [`Engine::run_immediate`]. The first of them began to wait at `since`.
    pub(crate) async fn write_with<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let run = async |begun| self.run(self.transaction(begun), work).await;
        let ended = self.engine.run_immediate(since, run).await;
        ended.map_err(StoreError::from)?
    }

    /// Runs a unit of work that waits for the locks of some deployments. In this process only
    /// one such unit of a deployment takes a connection, and the others wait for it here. So a
    /// deployment that is locked for long costs all others one connection.
    pub(crate) async fn write_locked<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        deployments: impl IntoIterator<Item = DeploymentId>,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        if self.engine.has_one_writer() {
            // The writer holds every lock.
            return self.write_since(since, work).await;
        }
        let guards = self.locks.acquire(since, deployments).await;
        // Held until the transaction is over: the next caller would take a connection only to wait
        // for the row.
        let _guards = guards.map_err(StoreError::from)?;
        let begun = self.engine.begin(since).await.map_err(StoreError::from)?;
        let mut tx = self.transaction(begun);
        if let Some(left) = self.locks.time_left(since) {
            // The wait for the keyed lock counts, so that both waits together stay within the
            // timeout.
            tx.limit_lock_wait(left).await?;
        }
        self.run(tx, work).await
    }

    async fn run<T, E: From<StoreError>>(
        &self,
        mut tx: UnitTransaction,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, E>,
    ) -> Result<T, E> {
        // A unit that is cancelled here drops `tx`, which closes its connection.
        measured(
            async |end: &mut TransactionEnd| match worked(&mut tx, work).await {
                Ok((value, limited)) => {
                    tx.write_usage(&limited);
                    let committed = tx.commit(self.notifier.clone()).await;
                    *end = TransactionEnd::of(&committed, TransactionEnd::Committed);
                    match committed {
                        Err(StoreError::Conflict {
                            what: COUNT_USAGE, ..
                        }) => Err(Box::pin(self.excess(&limited)).await?.into()),
                        committed => Ok(committed.map(|()| value)?),
                    }
                }
                Err(error) => {
                    let undone = tx.rollback().await;
                    *end = TransactionEnd::of(&undone, TransactionEnd::Undone);
                    // First: if this fails, what the refusal rests on may not be durable on SQLite.
                    undone?;
                    Err(error)
                }
            },
        )
        .await
    }
}

impl Store {
    /// Returns why a quota refused to count what a transaction changed: another one came first.
    async fn excess(&self, limited: &[LimitedChange]) -> Result<StoreError, StoreError> {
        let mut reader = self.reader().await?;
        for change in limited {
            let used = reader.find_usage(&change.project).await?;
            if let Err(excess) = change.check(&used) {
                return Ok(excess);
            }
        }
        // Others have given back as much meanwhile. The caller may try again.
        Ok(StoreError::LockTimeout)
    }
}

/// Does the work, and checks that the quotas allow it. Returns what they may still refuse.
async fn worked<T, E: From<StoreError>>(
    tx: &mut UnitTransaction,
    work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<T, E>,
) -> Result<(T, Vec<LimitedChange>), E> {
    // On the heap: units of work are large, and their calls nest.
    let value = Box::pin(work(tx)).await?;
    let limited = tx.limited_changes();
    // Most transactions change nothing that a quota limits.
    if !limited.is_empty() {
        Box::pin(tx.check_quotas(&limited)).await?;
    }
    Ok((value, limited))
}

#[cfg(test)]
impl Store {
    /// Tells the time by another clock on SQLite.
    pub(crate) fn with_clock(self, clock: viridian_engine::Clock) -> Self {
        let engine = self.engine.with_clock(clock);
        Self { engine, ..self }
    }

    /// Runs every call in a transaction of its own.
    pub(crate) fn without_batches(self) -> Self {
        let batcher = CommitBatcher::new(0);
        Self { batcher, ..self }
    }

    /// Returns how many deployments somebody waits for, or has locked.
    pub(crate) fn locked_keys(&self) -> usize {
        self.locks.count()
    }
}
