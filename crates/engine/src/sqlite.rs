//! SQLite: one writer with a fair queue, and a pool of readers.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
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

use crate::{
    busy_wait::fail_when_busy,
    connection::{EngineConnection, SqliteReader},
    error::{EngineError, OpenError},
    limits::Limits,
    migrations::Migrations,
    sqlite_thread::{SqliteConn, with_thread},
    wait::WaitStart,
    writer::{Writer, WriterPermit},
};

#[derive(Clone)]
pub(crate) struct SqlitePool {
    writer: Writer,
    readers: deadpool::Pool<SqliteConn>,
    pub(crate) acquire_timeout: Duration,
    pub(crate) busy_timeout: Duration,
    /// Held while the database is open: one server process a file.
    _lock: Arc<File>,
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
        let text = path
            .to_str()
            .ok_or_else(|| unusable("its name is not UTF-8".into()))?;
        // Before the file is opened: a second server must not migrate a file that is in use.
        let lock = lock(path).map_err(unusable)?;
        create_private(path).map_err(|error| unusable(error.to_string()))?;
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
                migrations.run_on_sqlite(&mut connection)?;
                // Only now: a migration may wait for another program, since this thread may block.
                fail_when_busy(&mut connection).map_err(|error| OpenError::File {
                    path: path.to_string(),
                    why: error.to_string(),
                })?;
                Ok(connection)
            });
            first.await.map_err(|error| unusable(error.to_string()))??
        };
        // Only of a database: a file that is none is refused in one line.
        warn_of_others(Path::new(&*path));
        let mut config = ManagerConfig::<SqliteConn>::default();
        // No query at each checkout: `SqliteReader` closes every connection that is not idle.
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

    pub(crate) async fn checkpointer_failure(&self) -> String {
        self.writer.checkpointer_failure().await
    }

    pub(crate) async fn reader(&self, since: WaitStart) -> Result<EngineConnection, EngineError> {
        let deadline = since.deadline(self.acquire_timeout);
        let object = timeout_at(deadline, self.readers.get())
            .await
            .map_err(|_| EngineError::PoolTimeout)?;
        Ok(EngineConnection::SqliteReader(SqliteReader::new(object?)))
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

/// Keeps servers away from an existing file, until this is dropped.
///
/// # Errors
///
/// When there is no such file, or a server has it open.
pub fn claim(path: &Path) -> Result<File, OpenError> {
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

/// Takes the lock that says that a server has this file open. It is a file of its own:
/// closing a handle on the database would drop SQLite's locks.
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
        .mode(OWNER_ONLY)
        .open(&beside)
        .map_err(|error| error.to_string())?;
    // The system releases it when the process ends, so a killed server leaves no lock.
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err("another server has it open".to_owned()),
        Err(TryLockError::Error(error)) => Err(error.to_string()),
    }
}

/// Creates a file that is not there so that only its owner reads it: specs hold secrets.
/// SQLite gives the files beside it the mode of the file. One that is there keeps its mode,
/// which its owner may have chosen.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true).mode(OWNER_ONLY);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Warns of a file that other users of the machine can read or write.
fn warn_of_others(path: &Path) {
    let Ok(metadata) = path.metadata() else {
        return;
    };
    let mode = metadata.permissions().mode();
    if mode & ANYBODY_ELSE != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "other users of this machine can read the database; chmod 600 it"
        );
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
            .map(with_thread)
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

/// `synchronous = FULL`: what is acknowledged is on the disk. `temp_store = MEMORY`: by
/// default each savepoint makes a file. The cache has 4 MiB, since a COMMIT that moves pages
/// of an index searches all of it, which with 32 MiB took longer than reading a page again.
const SESSION: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -4096";

const OWNER_ONLY: u32 = 0o600;
const ANYBODY_ELSE: u32 = 0o077;
