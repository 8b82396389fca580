//! SQLite: one writer with a fair queue, and a pool of readers.

use std::{path::Path, sync::Arc, time::Duration};

use diesel::{
    Connection as _, ConnectionError, SqliteConnection, connection::SimpleConnection as _,
};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod, deadpool,
};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use crate::{
    busy_wait::fail_when_busy,
    connection::{EngineConnection, SqliteReader},
    error::{EngineError, OpenError},
    limits::Limits,
    migrations::Migrations,
    snapshot::first_damage,
    sqlite_file::{FileClaim, SqliteFile},
    sqlite_thread::{SqliteConn, with_thread},
    wait::WaitStart,
    write_fault::{LastWriteFault, WriteFault},
    writer::{Writer, WriterPermit},
};

#[derive(Clone)]
pub(crate) struct SqlitePool {
    writer: Writer,
    readers: deadpool::Pool<SqliteConn>,
    pub(crate) acquire_timeout: Duration,
    pub(crate) busy_timeout: Duration,
    file: Arc<SqliteFile>,
    /// One server process a file.
    _claim: Arc<FileClaim>,
    faults: LastWriteFault,
}

impl SqlitePool {
    pub(crate) async fn open(
        path: &Path,
        limits: Limits,
        migrations: Migrations,
    ) -> Result<Self, OpenError> {
        let unusable = |why: String| OpenError::File {
            path: path.display().to_string(),
            why,
        };
        // Before SQLite opens it: a second server must not migrate a file that is in use.
        let file = Arc::new(SqliteFile::create_or_claim(path).map_err(unusable)?);
        let busy_timeout = limits.busy_timeout;
        let writer = {
            let file = Arc::clone(&file);
            let first = spawn_blocking(move || first_connections(&file, busy_timeout, migrations));
            let opened = first.await.map_err(|error| unusable(error.to_string()))?;
            opened.map_err(|error| match error {
                FirstError::Sqlite(why) | FirstError::Open(OpenError::Migration(why))
                    if WriteFault::of_message(&why) == Some(WriteFault::StorageFull) =>
                {
                    OpenError::Unavailable(WriteFault::StorageFull.to_string())
                }
                FirstError::Open(error) => error,
                FirstError::Sqlite(why) => unusable(why),
            })?
        };
        // Only of a database: a file that is none is refused in one line.
        file.warn_of_others();
        let mut config = ManagerConfig::<SqliteConn>::default();
        // No query at each checkout: `SqliteReader` closes every connection that is not idle.
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = {
            let file = Arc::clone(&file);
            Box::new(move |_| connect_reader(Arc::clone(&file), busy_timeout))
        };
        let manager = AsyncDieselConnectionManager::new_with_config(file.uri(), config);
        let readers = deadpool::Pool::builder(manager)
            .max_size(limits.readers as usize)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        let connect = {
            let file = Arc::clone(&file);
            move || connect(&file, busy_timeout)
        };
        let faults = LastWriteFault::default();
        Ok(Self {
            writer: Writer::new(writer, Arc::clone(&file), faults.clone(), connect),
            readers,
            acquire_timeout: limits.acquire_timeout,
            busy_timeout,
            _claim: Arc::new(FileClaim::of(&file)),
            file,
            faults,
        })
    }

    /// Returns why nothing can be written, or could when it was last tried.
    pub(crate) fn write_fault(&self) -> Option<WriteFault> {
        self.file
            .expect_unmoved()
            .err()
            .or_else(|| self.faults.get())
    }

    /// Looks whether there is room on the disk again.
    pub(crate) async fn probe_room(&self) -> Result<(), EngineError> {
        let file = Arc::clone(&self.file);
        let looked = spawn_blocking(move || file.expect_room()).await;
        let looked = looked.map_err(|error| EngineError::Internal(error.to_string()))?;
        looked.map_err(|error| EngineError::Internal(error.to_string()))
    }

    /// Notes that writes are taken again.
    pub(crate) fn clear_fault(&self) {
        self.faults.set(None);
    }

    pub(crate) async fn checkpointer_failure(&self) -> String {
        self.writer.checkpointer_failure().await
    }

    pub(crate) async fn reader(&self, since: WaitStart) -> Result<EngineConnection, EngineError> {
        let deadline = since.deadline(self.acquire_timeout);
        let object = timeout_at(deadline, self.readers.get())
            .await
            .map_err(|_| EngineError::PoolTimeout)?;
        let object = object.map_err(|error| match self.file.expect_unmoved() {
            Ok(()) => EngineError::from(error),
            Err(fault) => fault.into(),
        })?;
        Ok(EngineConnection::SqliteReader(SqliteReader::new(object)))
    }

    pub(crate) fn connections_in_use(&self) -> (usize, usize) {
        let status = self.readers.status();
        (status.size - status.available, status.max_size)
    }

    /// Returns until when a unit waits for other programs to unlock the file.
    pub(crate) fn busy_deadline(&self, since: WaitStart) -> Instant {
        since.deadline(self.busy_timeout)
    }

    /// Waits for the writer.
    pub(crate) async fn acquire_writer(
        &self,
        since: WaitStart,
    ) -> Result<WriterPermit, EngineError> {
        timeout_at(since.deadline(self.acquire_timeout), self.writer.acquire())
            .await
            .map_err(|_| EngineError::PoolTimeout)
    }
}

enum FirstError {
    Open(OpenError),
    Sqlite(String),
}

impl From<ConnectionError> for FirstError {
    fn from(error: ConnectionError) -> Self {
        Self::Sqlite(error.to_string())
    }
}

/// Returns the writer's connection to a file whose schema is up to date.
fn first_connections(
    file: &SqliteFile,
    busy_timeout: Duration,
    migrations: Migrations,
) -> Result<SqliteConnection, FirstError> {
    let mut connection = connect(file, busy_timeout)?;
    // Before anything is written: what is written to a damaged file may be lost, and damage more.
    match first_damage(&mut connection) {
        Ok(None) => {}
        Ok(Some(why)) => return Err(FirstError::Sqlite(format!("it is damaged: {why}"))),
        Err(error) => return Err(FirstError::Sqlite(error.to_string())),
    }
    let migrated = migrations.run_on_sqlite(&mut connection);
    migrated.map_err(FirstError::Open)?;
    // Only now: a migration may wait for another program, since this thread may block.
    let set = fail_when_busy(&mut connection);
    set.map_err(|error| FirstError::Sqlite(error.to_string()))?;
    file.watch_companions(connect(file, busy_timeout)?)?;
    Ok(connection)
}

fn connect_reader(
    file: Arc<SqliteFile>,
    busy_timeout: Duration,
) -> BoxFuture<'static, Result<SqliteConn, ConnectionError>> {
    async move {
        spawn_blocking(move || connect(&file, busy_timeout))
            .await
            .map_err(|error| ConnectionError::BadConnection(error.to_string()))?
            .map(with_thread)
    }
    .boxed()
}

/// Opens the file that is being watched, and no other one.
fn connect(file: &SqliteFile, busy_timeout: Duration) -> Result<SqliteConnection, ConnectionError> {
    let moved = |fault: WriteFault| ConnectionError::BadConnection(fault.to_string());
    file.expect_unmoved().map_err(moved)?;
    let mut connection = SqliteConnection::establish(file.uri())?;
    let busy_timeout = busy_timeout.as_millis();
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = {busy_timeout}; {SESSION}"))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    // Between the look and the open the name may have been given to another file.
    file.expect_unmoved().map_err(moved)?;
    Ok(connection)
}

/// `synchronous = FULL`: what is acknowledged is on the disk. `temp_store = MEMORY`: by
/// default each savepoint makes a file. The cache has 4 MiB, since a COMMIT that moves pages
/// of an index searches all of it, which with 32 MiB took longer than reading a page again.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096";
