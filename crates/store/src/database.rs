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
mod writer;

use std::{thread::available_parallelism, time::Duration};

use tokio::sync::broadcast;
use viridian_strategy::{DeploymentId, Timestamp};

pub use self::{
    limits::{LimitError, Limits},
    location::Location,
};
pub(crate) use self::{snapshot::Snapshot, sqlite::claim, thread::Thread, writer::Turn};
use self::{
    thread::here,
    writer::{Head, Start},
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

/// The turn to write.
pub(crate) enum InTurn {
    /// On PostgreSQL, where there are no turns.
    Anyone(postgres::Pool),
    /// SQLite's writer is free.
    First(Head),
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
        let reader = async {
            match &self.engine {
                Engine::Pg(pool) => pool.get().await,
                Engine::Sqlite(pool) => pool.reader().await,
            }
        };
        measure_wait(Use::Read, reader).await
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
        let turn = self.wait_for_turn().await?;
        let tx = self.begin(turn, Start::Shared).await?;
        self.end(tx, work).await
    }

    /// Waits for the turn to write, for a unit that is made up when it has come.
    pub(crate) async fn wait_for_turn(&self) -> Result<InTurn, StoreError> {
        Ok(match &self.engine {
            Engine::Pg(pool) => InTurn::Anyone(pool.clone()),
            Engine::Sqlite(pool) => InTurn::First(measure_wait(Use::Write, pool.wait()).await?),
        })
    }

    /// Does a unit whose turn has come. On SQLite it is done on this thread, and
    /// is committed without those who are in line.
    pub(crate) async fn write_in_turn<T, E: From<StoreError>>(
        &self,
        turn: InTurn,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let done = async {
            let tx = self.begin(turn, Start::AtOnce).await?;
            self.end(tx, work).await
        };
        match &self.engine {
            Engine::Pg(_) => done.await,
            Engine::Sqlite(_) => here(done).await,
        }
    }

    async fn begin(&self, turn: InTurn, start: Start) -> Result<Transaction, StoreError> {
        let connection = match turn {
            InTurn::Anyone(pool) => measure_wait(Use::Write, pool.get()).await?,
            InTurn::First(head) => Connection::SqliteWriter(head.begin(start).await?),
        };
        Ok(Transaction::on(connection, self.clock))
    }

    /// The same for a unit that waits for the locks of some deployments. All in
    /// this process that want one of them wait in line before they take a
    /// connection: so one that is held costs the others at most one connection.
    pub(crate) async fn write_on<T, E: From<StoreError>>(
        &self,
        deployments: impl IntoIterator<Item = DeploymentId>,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let pool = match &self.engine {
            Engine::Pg(pool) => pool,
            // Its one writer holds every lock.
            Engine::Sqlite(_) => return self.write(work).await,
        };
        let heads = pool.lines.stand_in(deployments).await?;
        let connection = measure_wait(Use::Write, pool.get()).await?;
        let mut tx = Transaction::on(connection, self.clock);
        if let Some(left) = heads.time_left {
            // None at all would be no limit.
            let left = left.as_millis().max(1);
            let limit = format!("SET LOCAL lock_timeout = {left}");
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
