//! Opening a database, and the two ways to use it: read, and write.

mod checkpoint;
mod limits;
mod line;
mod location;
mod postgres;
mod relay;
mod snapshot;
mod sqlite;
mod thread;
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
    snapshot::Snapshot, sqlite::claim, thread::Thread, wait::WaitStart, writer::Turn,
};
use self::{
    thread::here,
    writer::{BusyWait, NotBegun, Start},
};
use crate::{
    connection::Connection,
    dialect::{self, Clock, Trip},
    error::{OpenError, StoreError},
    signal::{Announcement, Signal},
    telemetry::{Ended, Use, measure_wait, measured},
    transaction::Transaction,
    units::Share,
};

/// A database with Viridian's record, of either engine. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
    clock: Clock,
    signal: Signal,
    pub(crate) share: Share,
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
            signal: Signal::new(),
            share: Share::new(batches),
        })
    }

    /// What is committed in this process from now on, and by others as far as
    /// [`Database::relay`] hears of it.
    pub fn subscribe(&self) -> broadcast::Receiver<Announcement> {
        self.signal.subscribe()
    }

    /// The time that decides.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        let trip = Trip::to_read(self.clock);
        dialect::now(&mut self.reader().await?, trip).await
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
        measure_wait(Use::Read, reader).await
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
    pub(crate) fn lines(&self) -> usize {
        match &self.engine {
            Engine::Pg(pool) => pool.lines.count(),
            Engine::Sqlite(_) => 0,
        }
    }

    /// Does a unit of work: commits when it returns Ok, and leaves nothing
    /// behind when it returns an error or is cancelled before that. One that
    /// waits for deployments says which: [`write_on`](Self::write_on).
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
            Engine::Pg(pool) => measure_wait(Use::Write, pool.get(since)).await?,
            Engine::Sqlite(pool) => {
                let head = measure_wait(Use::Write, pool.wait(since)).await?;
                let turn = head.begin(Start::Shared, pool.busy_deadline(since)).await?;
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
    pub(crate) async fn write_many<T, E: From<StoreError>>(
        &self,
        since: WaitStart,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let now = WaitStart::now();
        let pool = match &self.engine {
            Engine::Pg(pool) => {
                let connection = measure_wait(Use::Write, pool.get(now)).await?;
                let tx = Transaction::on(connection, self.clock);
                return self.end(tx, work).await;
            }
            Engine::Sqlite(pool) => pool,
        };
        let mut head = measure_wait(Use::Write, pool.wait(now)).await?;
        let mut wait = BusyWait::until(pool.busy_deadline(since));
        let mut work = Some(work);
        loop {
            // The attempt is on this thread too: on another it would cost more than all
            // that follows. It never waits for the lock, so it holds up nothing.
            let attempt = here(async {
                match head.try_begin(Start::AtOnce).await {
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
    pub(crate) async fn write_on<T, E: From<StoreError>>(
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
        let _heads = pool.lines.stand_in(since, deployments).await?;
        let connection = measure_wait(Use::Write, pool.get(since)).await?;
        let mut tx = Transaction::on(connection, self.clock);
        if let Some(left) = pool.lines.time_left(since) {
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
        measured(async |ended: &mut Ended| match work(&mut tx).await {
            Ok(value) => {
                let committed = tx.commit(self.signal.clone()).await;
                *ended = Ended::of(&committed, Ended::Committed);
                committed?;
                Ok(value)
            }
            Err(error) => {
                let undone = tx.rollback().await;
                *ended = Ended::of(&undone, Ended::Undone);
                undone?;
                Err(error)
            }
        })
        .await
    }
}
