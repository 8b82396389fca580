//! Opens a database, and hands out connections and transactions.

use std::time::Duration;

use crate::{
    busy_wait::BusyWait,
    connection::{AsEngine, EngineConnection},
    error::{EngineError, OpenError},
    limits::Limits,
    listener::Listener,
    location::Location,
    migrations::Migrations,
    postgres::PgPool,
    round_trip::{self, RoundTrip, TimeSource},
    sqlite::SqlitePool,
    sqlite_thread::run_inline,
    telemetry::{ConnectionUse, measure_wait},
    transaction::SqlTransaction,
    wait::WaitStart,
    write_fault::WriteFault,
    writer::{CommitMode, NotBegun},
};

/// A database of either engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    backend: Backend,
    time: TimeSource,
}

#[derive(Clone)]
enum Backend {
    Pg(PgPool),
    Sqlite(SqlitePool),
}

impl Engine {
    /// Opens a database, and brings its schema up to date. Needs a multi-thread runtime.
    ///
    /// # Errors
    ///
    /// An [`OpenError`] that is one clear sentence.
    pub async fn open(
        location: &Location,
        limits: Limits,
        migrations: Migrations,
    ) -> Result<Self, OpenError> {
        let backend = match location {
            Location::Sqlite(path) => {
                Backend::Sqlite(SqlitePool::open(path, limits, migrations).await?)
            }
            Location::Postgres(server) => {
                Backend::Pg(PgPool::open(server, limits, migrations).await?)
            }
        };
        Ok(Self {
            backend,
            time: TimeSource {
                clock: round_trip::process_clock,
                query: migrations.postgres_time,
            },
        })
    }

    /// Uses another clock on SQLite, which has none of its own.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn with_clock(self, clock: round_trip::Clock) -> Self {
        let time = TimeSource { clock, ..self.time };
        Self { time, ..self }
    }

    /// Returns whether all writes go through one connection.
    pub fn has_one_writer(&self) -> bool {
        matches!(self.backend, Backend::Sqlite(_))
    }

    /// Returns a round trip without a transaction.
    pub fn round_trip(&self) -> RoundTrip {
        RoundTrip::to_read(self.time)
    }

    /// Returns how long a call waits for a connection, or for the writer.
    pub fn acquire_timeout(&self) -> Duration {
        match &self.backend {
            Backend::Pg(pool) => pool.acquire_timeout,
            Backend::Sqlite(pool) => pool.acquire_timeout,
        }
    }

    /// Returns how long a call waits for another program that has locked SQLite's file. No
    /// program can lock all of a PostgreSQL database.
    pub fn busy_timeout(&self) -> Duration {
        match &self.backend {
            Backend::Pg(_) => Duration::MAX,
            Backend::Sqlite(pool) => pool.busy_timeout,
        }
    }

    /// Returns how long ago the database answered, also if it was asked nothing. SQLite is a
    /// part of this process, and always answers.
    pub fn unanswered_for(&self) -> Duration {
        match &self.backend {
            Backend::Pg(pool) => pool.unanswered_for(),
            Backend::Sqlite(_) => Duration::ZERO,
        }
    }

    /// Returns why nothing can be written, or could when it was last tried, though the database
    /// answers.
    pub fn write_fault(&self) -> Option<WriteFault> {
        match &self.backend {
            Backend::Pg(pool) => pool.write_fault(),
            Backend::Sqlite(pool) => pool.write_fault(),
        }
    }

    /// Looks whether the database can be written, which a call finds only when it writes. What
    /// is found shows in [`Engine::write_fault`].
    pub async fn probe_writes(&self) {
        let fault = self.write_fault();
        let probed = match (&self.backend, &fault) {
            (Backend::Pg(pool), Some(WriteFault::StorageFull)) => pool.probe_room().await,
            (Backend::Pg(pool), _) => pool.probe_read_only().await,
            // Its file is looked at each time.
            (Backend::Sqlite(_), None | Some(WriteFault::FileMoved(_))) => Ok(()),
            (Backend::Sqlite(pool), Some(_)) => pool.probe_room().await,
        };
        if fault.is_some() && probed.is_ok() {
            match &self.backend {
                Backend::Pg(pool) => pool.clear_fault(),
                Backend::Sqlite(pool) => pool.clear_fault(),
            }
        }
    }

    /// Resolves when the thread that checkpoints SQLite's file has panicked, with its message.
    /// From then on the writer checkpoints, and every caller waits for that.
    pub async fn checkpointer_failure(&self) -> String {
        match &self.backend {
            Backend::Pg(_) => std::future::pending().await,
            Backend::Sqlite(pool) => pool.checkpointer_failure().await,
        }
    }

    /// Returns how many connections are in use, and how many there may be. On SQLite those
    /// are the readers.
    pub fn connections_in_use(&self) -> (usize, usize) {
        match &self.backend {
            Backend::Pg(pool) => pool.connections_in_use(),
            Backend::Sqlite(pool) => pool.connections_in_use(),
        }
    }

    /// Returns a connection to read with.
    ///
    /// # Errors
    ///
    /// When none is free in time, or the database cannot be reached.
    pub async fn reader(&self, since: WaitStart) -> Result<EngineConnection, EngineError> {
        let reader = async {
            match &self.backend {
                Backend::Pg(pool) => pool.get(since).await,
                Backend::Sqlite(pool) => pool.reader(since).await,
            }
        };
        measure_wait(ConnectionUse::Read, reader).await
    }

    /// Begins a transaction. On SQLite it is committed together with those that wait.
    ///
    /// # Errors
    ///
    /// When it could not begin in time, or the database cannot be reached.
    pub async fn begin<C>(&self, since: WaitStart) -> Result<SqlTransaction<C>, EngineError>
    where
        C: AsEngine + From<EngineConnection> + Into<EngineConnection> + Send + 'static,
    {
        let connection = match &self.backend {
            Backend::Pg(pool) => measure_wait(ConnectionUse::Write, pool.get(since)).await?,
            Backend::Sqlite(pool) => {
                let acquire = pool.acquire_writer(since);
                let permit = measure_wait(ConnectionUse::Write, acquire).await?;
                let deadline = pool.busy_deadline(since);
                let guard = permit.begin(CommitMode::Grouped, deadline).await?;
                EngineConnection::SqliteWriter(guard)
            }
        };
        Ok(SqlTransaction::on(connection, self.time))
    }

    /// Runs work in a transaction that is committed at once, on this thread if it is
    /// SQLite's. The transaction waits for its turn from now on, and for another program as
    /// long as a call may that began to wait at `since`.
    ///
    /// # Errors
    ///
    /// When it could not begin. The work was not run then.
    pub async fn run_immediate<C, T>(
        &self,
        since: WaitStart,
        work: impl AsyncFnOnce(SqlTransaction<C>) -> T,
    ) -> Result<T, EngineError>
    where
        C: AsEngine + From<EngineConnection> + Into<EngineConnection> + Send + 'static,
    {
        let now = WaitStart::now();
        let pool = match &self.backend {
            Backend::Pg(pool) => {
                let connection = measure_wait(ConnectionUse::Write, pool.get(now)).await?;
                return Ok(work(SqlTransaction::on(connection, self.time)).await);
            }
            Backend::Sqlite(pool) => pool,
        };
        let mut permit = measure_wait(ConnectionUse::Write, pool.acquire_writer(now)).await?;
        let mut wait = BusyWait::until(pool.busy_deadline(since));
        let mut work = Some(work);
        loop {
            // The attempt runs inline too: a change of threads for BEGIN would cost more than
            // all that follows. It never waits for the lock, so it holds up nothing.
            let attempt = run_inline(async {
                let guard = permit.try_begin(CommitMode::Immediate).await?;
                let work = work.take().expect("only a failed attempt is repeated");
                let connection = EngineConnection::SqliteWriter(guard);
                Ok(work(SqlTransaction::on(connection, self.time)).await)
            });
            match attempt.await {
                Ok(done) => return Ok(done),
                Err(NotBegun::Failed(error)) => return Err(error),
                Err(NotBegun::Busy(same)) => permit = same,
            }
            // Outside of `run_inline`: there a wait would hold up the thread.
            wait.pause().await?;
        }
    }

    /// Listens to a channel of notifications. None on SQLite, where no other process writes.
    ///
    /// # Errors
    ///
    /// When the database cannot be reached.
    pub async fn listen(&self, channel: &'static str) -> Result<Option<Listener>, EngineError> {
        match &self.backend {
            Backend::Pg(pool) => {
                // Out of the pool for good: returned, it would go on listening, and hold
                // notifications that are never read.
                let connection = pool.take().await?;
                Ok(Some(Listener::start(connection, channel).await?))
            }
            Backend::Sqlite(_) => Ok(None),
        }
    }
}
