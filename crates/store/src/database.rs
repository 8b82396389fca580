//! Opening a database, and the two ways to use it: read, and write.

mod location;
mod postgres;
mod relay;
mod snapshot;
mod sqlite;
mod thread;
mod writer;

use tokio::sync::broadcast;
use viridian_strategy::Timestamp;

pub use self::location::Location;
pub(crate) use self::{snapshot::Snapshot, thread::Thread, writer::Turn};
use crate::{
    connection::Connection,
    dialect::{self, Clock},
    error::{OpenError, StoreError},
    signal::{Announcement, Signal},
    transaction::Transaction,
};

/// A database with Viridian's record, of either engine. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    engine: Engine,
    clock: Clock,
    signal: Signal,
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
        let engine = match Location::parse(url)? {
            Location::Sqlite(path) => Engine::Sqlite(sqlite::Pool::open(&path).await?),
            Location::Postgres(url) => Engine::Pg(postgres::Pool::open(&url).await?),
        };
        Ok(Self {
            engine,
            clock: dialect::system_clock,
            signal: Signal::new(),
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
        let clock = self.clock;
        dialect::now(&mut self.reader().await?, clock).await
    }

    /// A connection to read with. What is decided on is never read with it.
    pub(crate) async fn reader(&self) -> Result<Connection, StoreError> {
        match &self.engine {
            Engine::Pg(pool) => pool.get().await,
            Engine::Sqlite(pool) => pool.reader().await,
        }
    }

    /// How many connections the pool has handed out, and may hand out.
    #[cfg(test)]
    pub(crate) fn handed_out(&self) -> (usize, usize) {
        match &self.engine {
            Engine::Pg(pool) => pool.handed_out(),
            Engine::Sqlite(pool) => pool.handed_out(),
        }
    }

    /// Does a unit of work: commits when it returns Ok, and leaves nothing
    /// behind when it returns an error or is cancelled before that.
    pub(crate) async fn write<T, E: From<StoreError>>(
        &self,
        work: impl AsyncFnOnce(&mut Transaction) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = match &self.engine {
            Engine::Pg(pool) => pool.get().await?,
            Engine::Sqlite(pool) => pool.writer().await?,
        };
        let mut tx = Transaction::begin(connection, self.clock).await?;
        match work(&mut tx).await {
            Ok(value) => {
                tx.commit(self.signal.clone()).await?;
                Ok(value)
            }
            Err(error) => {
                tx.rollback().await?;
                Err(error)
            }
        }
    }
}
