//! SQLite: one writer behind a fair queue, and readers of their own.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

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

use super::{
    Limits,
    wait::WaitStart,
    writer::{self, Writer, WriterPermit},
};
use crate::{
    connection::{Connection, Reader, SqliteConn, sqlite},
    error::{OpenError, StoreError},
    migrations,
};

#[derive(Clone)]
pub(super) struct Pool {
    writer: Writer,
    readers: deadpool::Pool<SqliteConn>,
    pub(super) acquire_timeout: Duration,
    pub(super) busy_timeout: Duration,
    /// Locked for as long as the database is open: one server process a file.
    _lock: Arc<File>,
}

impl Pool {
    pub(super) async fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        let unusable = |why: String| OpenError::File {
            path: path.display().to_string(),
            why,
        };
        let text = path
            .to_str()
            .ok_or_else(|| unusable("its name is not UTF-8".into()))?;
        let lock = lock(path).map_err(unusable)?;
        let path: Arc<str> = Arc::from(text);
        let busy_timeout = limits.busy_timeout;
        let writer = {
            let path = Arc::clone(&path);
            let first = spawn_blocking(move || -> Result<SqliteConnection, OpenError> {
                let mut connection =
                    connect(&path, busy_timeout).map_err(|error| OpenError::File {
                        path: path.to_string(),
                        why: error.to_string(),
                    })?;
                migrations::sqlite(&mut connection)?;
                writer::fail_when_busy(&mut connection).map_err(|error| OpenError::File {
                    path: path.to_string(),
                    why: error.to_string(),
                })?;
                Ok(connection)
            });
            first.await.map_err(|error| unusable(error.to_string()))??
        };
        let mut config = ManagerConfig::<SqliteConn>::default();
        config.recycling_method = RecyclingMethod::Fast;
        config.custom_setup = Box::new(move |path| connect_reader(path, busy_timeout));
        let manager = AsyncDieselConnectionManager::new_with_config(&*path, config);
        let readers = deadpool::Pool::builder(manager)
            .max_size(limits.readers as usize)
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self {
            writer: Writer::new(writer, move || connect(&path, busy_timeout)),
            readers,
            acquire_timeout: limits.acquire_timeout,
            busy_timeout,
            _lock: Arc::new(lock),
        })
    }

    pub(super) async fn reader(&self, since: WaitStart) -> Result<Connection, StoreError> {
        let deadline = since.deadline(self.acquire_timeout);
        let object = timeout_at(deadline, self.readers.get())
            .await
            .map_err(|_| StoreError::PoolTimeout)?;
        Ok(Connection::SqliteReader(Reader::new(object?)))
    }

    pub(super) fn handed_out(&self) -> (usize, usize) {
        let status = self.readers.status();
        (status.size - status.available, status.max_size)
    }

    /// Returns until when a unit waits for other programs to let the file go.
    pub(super) fn busy_deadline(&self, since: WaitStart) -> Instant {
        since.deadline(self.busy_timeout)
    }

    /// Waits in line for the writer.
    pub(super) async fn wait(&self, since: WaitStart) -> Result<WriterPermit, StoreError> {
        timeout_at(since.deadline(self.acquire_timeout), self.writer.wait())
            .await
            .map_err(|_| StoreError::PoolTimeout)
    }
}

/// Keeps servers away from a file that is there, until it is dropped.
pub(crate) fn claim(path: &Path) -> Result<File, OpenError> {
    let locked = if path.is_file() {
        lock(path)
    } else {
        Err("there is no such file".to_owned())
    };
    locked.map_err(|why| OpenError::File {
        path: path.display().to_string(),
        why,
    })
}

/// Takes the lock that says that a server has this file open. It lies beside the
/// database: closing a handle on the database itself would drop SQLite's locks.
fn lock(path: &Path) -> Result<File, String> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(format!("there is no folder {}", folder.display()));
    }
    if path.is_dir() {
        return Err("it is a folder".to_owned());
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push("-lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&beside)
        .map_err(|error| error.to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another server has it open".to_owned()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

fn connect_reader(
    path: &str,
    busy_timeout: Duration,
) -> BoxFuture<'_, Result<SqliteConn, ConnectionError>> {
    let path = path.to_owned();
    async move {
        spawn_blocking(move || connect(&path, busy_timeout))
            .await
            .map_err(|error| ConnectionError::BadConnection(error.to_string()))?
            .map(sqlite)
    }
    .boxed()
}

fn connect(path: &str, busy_timeout: Duration) -> Result<SqliteConnection, ConnectionError> {
    let mut connection = SqliteConnection::establish(path)?;
    let busy_timeout = busy_timeout.as_millis();
    connection
        .batch_execute(&format!("PRAGMA busy_timeout = {busy_timeout}; {SESSION}"))
        .map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// What is acknowledged is on the disk: `synchronous = FULL`. What a savepoint could put
/// back is kept in memory: the default is a file for each savepoint. So are 4 MiB of
/// pages. All that is kept is looked through at each COMMIT that moved pages of an index
/// about, which with 32 MiB took longer than to read a page again.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096";
