//! Opening a database, and the two ways to use it: read, and write.

mod checkpointer;
mod keyed_locks;
mod limits;
mod location;
mod postgres;
mod relay;
mod snapshot;
mod sqlite;
mod sqlite_thread;
mod tls;
mod wait;
mod writer;

use std::{thread::available_parallelism, time::Duration};

use tokio::sync::broadcast;
use viridian_strategy::{DeploymentId, Timestamp};

pub use self::{
    limits::{LimitError, Limits},
    location::Location,
};
pub(crate) use self::{
    snapshot::Snapshot, sqlite::claim, sqlite_thread::SqliteThread, wait::WaitStart,
    writer::WriterGuard,
};
use self::{
    sqlite_thread::run_inline,
    writer::{BusyWait, CommitMode, NotBegun},
};
use crate::{
    connection::Connection,
    dialect::{self, Clock, RoundTrip},
    error::{OpenError, StoreError},
    notifier::{Notification, Notifier},
    telemetry::{ConnectionUse, TransactionEnd, measure_wait, measured},
    transaction::Transaction,
    units::CommitBatcher,
};

/// A database with Viridian's record, of either engine. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
    clock: Clock,
    notifier: Notifier,
    pub(crate) batcher: CommitBatcher,
}

#[derive(Clone)]
enum Engine {
    Pg(postgres::Pool),
    Sqlite(sqlite::Pool),
}

impl Database {
    /// Opens the database that a URL names, `sqlite:PATH` or `postgres://…`, and
    /// brings its schema up to date. Needs a multi-thread runtime.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that is one clear sentence.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        Self::open_within(url, Limits::default()).await
    }

    /// The same, within limits that were checked.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that is one clear sentence.
    pub async fn open_within(url: &str, limits: Limits) -> Result<Self, OpenError> {
        let engine = match Location::parse(url)? {
            Location::Sqlite(path) => Engine::Sqlite(sqlite::Pool::open(&path, limits).await?),
            Location::Postgres(server) => Engine::Pg(postgres::Pool::open(&server, limits).await?),
        };
        // While one is with the database another can gather, on SQLite's one writer
        // too. More do not help it.
        let batches = match engine {
            Engine::Pg(_) => available_parallelism().map_or(2, |cores| cores.get().max(2)),
            Engine::Sqlite(_) => 2,
        };
        Ok(Self {
            engine,
            clock: dialect::system_clock,
            notifier: Notifier::new(),
            batcher: CommitBatcher::new(batches),
        })
    }

    /// What is committed in this process from now on, and by others as far as
    /// [`Database::relay`] hears of it.
    pub fn subscribe(&self) -> broadcast::Receiver<Notification> {
        self.notifier.subscribe()
    }

    /// The time that decides.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let round_trip = RoundTrip::to_read(self.clock);
        dialect::now(&mut self.reader().await?, round_trip).await
    }

    /// The same by another clock, where the database has none of its own.
    #[cfg(test)]
    pub(crate) fn by(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether all that is written goes through one connection.
    pub fn has_one_writer(&self) -> bool {
        matches!(self.engine, Engine::Sqlite(_))
    }

    /// A connection to read with. What is decided on is never read with it.
    pub(crate) async fn reader(&self) -> Result<Connection, StoreError> {
        self.reader_since(WaitStart::now()).await
    }

    /// The same for a call that may have waited already.
    pub(crate) async fn reader_since(&self, since: WaitStart) -> Result<Connection, StoreError> {
        let reader = async {
            match &self.engine {
                Engine::Pg(pool) => pool.get(since).await,
                Engine::Sqlite(pool) => pool.reader(since).await,
            }
        };
        measure_wait(ConnectionUse::Read, reader).await
    }

    /// How long a call waits for a connection, or for its turn to write.
    pub(crate) fn acquire_timeout(&self) -> Duration {
        match &self.engine {
            Engine::Pg(pool) => pool.acquire_timeout,
            Engine::Sqlite(pool) => pool.acquire_timeout,
        }
    }

    /// How long a call waits for another program that has SQLite's file. On PostgreSQL
    /// none has all of the database.
    pub(crate) fn busy_timeout(&self) -> Duration {
        match &self.engine {
            Engine::Pg(_) => Duration::MAX,
            Engine::Sqlite(pool) => pool.busy_timeout,
        }
    }

    /// For how long the database has answered nothing, be it that it was asked for
    /// nothing. None at all on SQLite, which is part of this process.
    pub fn unanswered_for(&self) -> Duration {
        match &self.engine {
            Engine::Pg(pool) => pool.unanswered_for(),
            Engine::Sqlite(_) => Duration::ZERO,
        }
    }

    /// How many connections the pool has handed out, and may hand out: of SQLite
    /// those that read.
    pub fn handed_out(&self) -> (usize, usize) {
        match &self.engine {
            Engine::Pg(pool) => pool.handed_out(),
            Engine::Sqlite(pool) => pool.handed_out(),
        }
    }

    /// How many deployments someone waits for in line, or has got.
    #[cfg(test)]
    pub(crate) fn locked_keys(&self) -> usize {
        match &self.engine {
            Engine::Pg(pool) => pool.locks.count(),
            Engine::Sqlite(_) => 0,
        }
    }

    /// Does a unit of work: commits when it returns Ok, and leaves nothing
    /// behind when it returns an error or is cancelled before that. One that
    /// waits for deployments says which: [`write_locked`](Self::write_locked).
    pub(crate) async fn write<T, E: From<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        self.write_since(WaitStart::now(), work).await
    }

    /// The same for a call that may have waited already.
    async fn write_since<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = match &self.engine {
            Engine::Pg(pool) => measure_wait(ConnectionUse::Write, pool.get(since)).await?,
            Engine::Sqlite(pool) => {
                let head = measure_wait(ConnectionUse::Write, pool.wait(since)).await?;
                let turn = head
                    .begin(CommitMode::Grouped, pool.busy_deadline(since))
                    .await?;
                Connection::SqliteWriter(turn)
            }
        };
        self.end(Transaction::on(connection, self.clock), work)
            .await
    }

    /// Does a unit of many callers, which is made up in it: those who come while it waits
    /// to begin can be part of it. On SQLite it is done on this thread, and is committed
    /// without those who are in line. It waits for its turn from now on, and for other
    /// programs as long as who has waited since then may.
    pub(crate) async fn write_with<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let now = WaitStart::now();
        let pool = match &self.engine {
            Engine::Pg(pool) => {
                let connection = measure_wait(ConnectionUse::Write, pool.get(now)).await?;
                let tx = Transaction::on(connection, self.clock);
                return self.end(tx, work).await;
            }
            Engine::Sqlite(pool) => pool,
        };
        let mut head = measure_wait(ConnectionUse::Write, pool.wait(now)).await?;
        let mut wait = BusyWait::until(pool.busy_deadline(since));
        let mut work = Some(work);
        loop {
            // The attempt is on this thread too: on another it would cost more than all
            // that follows. It never waits for the lock, so it holds up nothing.
            let attempt = run_inline(async {
                match head.try_begin(CommitMode::Immediate).await {
                    Ok(turn) => {
                        let work = work.take().expect("it is done once");
                        let tx = Transaction::on(Connection::SqliteWriter(turn), self.clock);
                        Ok(self.end(tx, work).await)
                    }
                    Err(not_begun) => Err(not_begun),
                }
            });
            match attempt.await {
                Ok(done) => return done,
                Err(NotBegun::Failed(error)) => return Err(error.into()),
                Err(NotBegun::Busy(same)) => head = same,
            }
            // Not on this thread, whose other tasks go on meanwhile.
            wait.pause().await?;
        }
    }

    /// The same as [`write`](Self::write) for a unit that waits for the locks of some
    /// deployments. All in this process that want one of them wait in line before they
    /// take a connection: so one that is held costs the others at most one connection.
    pub(crate) async fn write_locked<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        deployments: impl IntoIterator<Item = DeploymentId>,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let pool = match &self.engine {
            Engine::Pg(pool) => pool,
            // Its one writer holds every lock.
            Engine::Sqlite(_) => return self.write_since(since, work).await,
        };
        let _guards = pool.locks.acquire(since, deployments).await?;
        let connection = measure_wait(ConnectionUse::Write, pool.get(since)).await?;
        let mut tx = Transaction::on(connection, self.clock);
        if let Some(left) = pool.locks.time_left(since) {
            let limit = format!("SET LOCAL lock_timeout = {}", left.as_millis());
            tx.connection().await?.execute(&limit).await?;
        }
        self.end(tx, work).await
    }

    async fn end<T, E: From<StoreError>>(
        &self,
        mut tx: Transaction,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        measured(
            async |ended: &mut TransactionEnd| match work(&mut tx).await {
                Ok(value) => {
                    let committed = tx.commit(self.notifier.clone()).await;
                    *ended = TransactionEnd::of(&committed, TransactionEnd::Committed);
                    committed?;
                    Ok(value)
                }
                Err(error) => {
                    let undone = tx.rollback().await;
                    *ended = TransactionEnd::of(&undone, TransactionEnd::Undone);
                    undone?;
                    Err(error)
                }
            },
        )
        .await
    }
}
