//! SQLite's one writer: a fair queue, and group commit.
//!
//! A unit of work waits in line for the connection. Whoever finds no transaction
//! open begins one and puts its commit in line, behind all who wait already.
//! Each unit is a savepoint in it, so that one can be undone without the others.
//! One that is of many callers already waits for no others: it commits what is
//! open, and needs no savepoint where that is nothing but its own.
//!
//! Nobody is told anything before the one COMMIT made it durable: not a success,
//! and not a refusal either, since it may rest on what a unit before it wrote.
//!
//! A unit ends by a note of what becomes of its savepoint. Whoever is next acts
//! on the note, so there is no moment at which a cancelled unit is half ended.

use std::{sync::Arc, time::Duration};

use diesel::{ConnectionError, QueryResult, SqliteConnection, connection::SimpleConnection as _};
use diesel_async::SimpleAsyncConnection as _;
use tokio::{
    runtime::Handle,
    sync::{Mutex, OwnedMutexGuard, watch},
    task::spawn_blocking,
    time::{Instant, sleep_until},
};

use super::checkpointer::Checkpointer;
use crate::{
    connection::{SqliteConn, sqlite},
    error::StoreError,
    fail_points::fail_point,
};

/// The queue for the connection. The lock is tokio's, which is fair.
#[derive(Clone)]
pub(super) struct Writer(Arc<Mutex<WriterState>>);

pub(super) type ConnectWriter =
    Arc<dyn Fn() -> Result<SqliteConnection, ConnectionError> + Send + Sync>;

/// Where the connection is, for whoever's turn it is.
struct WriterState {
    connect: ConnectWriter,
    checkpoints: Checkpointer,
    /// How many commits there were since the last one was asked for.
    commits: u32,
    /// None after a failure closed it.
    connection: Option<SqliteConn>,
    /// The transaction that is open.
    group: Option<watch::Sender<Option<GroupOutcome>>>,
    /// What becomes of the last unit, which is still open.
    end: Option<SavepointEnd>,
    /// Whether it has a savepoint: without one it is all that is open.
    savepoint: bool,
}

/// What became of a group's COMMIT.
type GroupOutcome = Result<(), String>;

#[derive(Clone, Copy)]
enum SavepointEnd {
    Release,
    Rollback,
}

/// The first in line.
pub(crate) struct WriterPermit {
    queue: Arc<Mutex<WriterState>>,
    state: OwnedMutexGuard<WriterState>,
}

/// How a unit begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum CommitMode {
    /// Together with those who are in line.
    Grouped,
    /// To be committed at once.
    Immediate,
}

/// Why a unit did not begin.
pub(super) enum NotBegun {
    /// Another program has the file's lock. Nothing was done, and the unit may try again.
    Busy(WriterPermit),
    Failed(StoreError),
}

impl From<StoreError> for NotBegun {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// The pauses between attempts to get the file's lock from another program.
///
/// SQLite would wait for it on the thread that asks, which may be one of the runtime's,
/// and could not be cancelled. So the writer never lets SQLite wait.
pub(super) struct BusyWait {
    deadline: Instant,
    pause: Duration,
}

impl BusyWait {
    pub(super) fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            pause: FIRST_PAUSE,
        }
    }

    /// Waits for the next attempt. The last one is at the deadline.
    pub(super) async fn pause(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        if now >= self.deadline {
            return Err(StoreError::LockTimeout);
        }
        sleep_until(self.deadline.min(now + self.pause)).await;
        self.pause = MAX_PAUSE.min(self.pause * 2);
        Ok(())
    }
}

/// Has SQLite fail at once, instead of waiting, while another program has the lock.
pub(super) fn fail_when_busy(connection: &mut SqliteConnection) -> QueryResult<()> {
    connection.batch_execute("PRAGMA busy_timeout = 0")
}

/// A unit's turn: it holds the connection. Dropped without more, the unit is undone.
pub(crate) struct WriterGuard {
    state: OwnedMutexGuard<WriterState>,
    outcome: watch::Receiver<Option<GroupOutcome>>,
    mode: CommitMode,
    /// Of the group that it began, if it is to commit it.
    commit: Option<GroupCommit>,
}

/// The commit of a group. Dropped, it gets in line.
struct GroupCommit {
    /// None when it was done.
    queue: Option<Arc<Mutex<WriterState>>>,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        connect: impl Fn() -> Result<SqliteConnection, ConnectionError> + Send + Sync + 'static,
    ) -> Self {
        let connect: ConnectWriter = Arc::new(connect);
        Self(Arc::new(Mutex::new(WriterState {
            checkpoints: Checkpointer::on(Arc::clone(&connect)),
            commits: 0,
            connect,
            connection: Some(sqlite(connection)),
            group: None,
            end: None,
            savepoint: false,
        })))
    }

    /// Waits in line.
    pub(super) async fn wait(&self) -> WriterPermit {
        let queue = Arc::clone(&self.0);
        let state = Arc::clone(&queue).lock_owned().await;
        WriterPermit { queue, state }
    }
}

impl WriterPermit {
    /// Begins a unit, and waits until a deadline for other programs.
    pub(super) async fn begin(
        self,
        mode: CommitMode,
        deadline: Instant,
    ) -> Result<WriterGuard, StoreError> {
        let mut head = self;
        let mut wait = BusyWait::until(deadline);
        loop {
            match head.try_begin(mode).await {
                Ok(turn) => return Ok(turn),
                Err(NotBegun::Failed(error)) => return Err(error),
                Err(NotBegun::Busy(same)) => head = same,
            }
            wait.pause().await?;
        }
    }

    /// Begins a unit, if no other program has the file's lock.
    pub(super) async fn try_begin(self, mode: CommitMode) -> Result<WriterGuard, NotBegun> {
        let Self { queue, mut state } = self;
        state.reconnect().await?;
        #[cfg(test)]
        crate::fail_points::before("the begin of a unit")
            .await
            .map_err(StoreError::from)?;
        state.roll_back_last_unit().await?;
        if let Some(group) = &state.group {
            let outcome = group.subscribe();
            let statements = format!("{}; SAVEPOINT unit", state.end_last_unit());
            // Cancelled from here on, there is something to be undone.
            state.end = Some(SavepointEnd::Rollback);
            state.savepoint = true;
            state.execute(&statements).await?;
            return Ok(WriterGuard {
                state,
                outcome,
                mode,
                commit: None,
            });
        }
        match state.open(mode).await {
            // Only this is another program's: within the writer nobody else has it.
            Err(StoreError::LockTimeout) => return Err(NotBegun::Busy(Self { queue, state })),
            opened => opened?,
        }
        let (sender, outcome) = watch::channel(None);
        state.group = Some(sender);
        let commit = GroupCommit { queue: Some(queue) };
        Ok(WriterGuard {
            state,
            outcome,
            mode,
            // Dropped here it gets in line, behind all who wait already.
            commit: Some(commit).filter(|_| mode == CommitMode::Immediate),
        })
    }
}

impl Drop for GroupCommit {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else {
            return;
        };
        let commit = async move { queue.lock_owned().await.commit().await };
        #[cfg(test)]
        let commit = crate::fail_points::inherited(commit);
        // Without a runtime the process is ending.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(commit);
        }
    }
}

impl WriterGuard {
    /// None when the connection was lost in this turn.
    pub(crate) fn connection(&mut self) -> Option<&mut SqliteConn> {
        self.state.connection.as_mut()
    }

    /// Keeps what the unit wrote, and waits until it is durable, or makes it so at
    /// once.
    pub(crate) async fn keep(mut self) -> Result<(), StoreError> {
        if self.mode == CommitMode::Immediate {
            self.state.end = Some(SavepointEnd::Release);
            self.state.commit().await;
            if let Some(mut commit) = self.commit.take() {
                commit.queue = None;
            }
        }
        self.end(SavepointEnd::Release).await
    }

    /// Undoes what the unit wrote, and waits until what it saw is durable.
    pub(crate) async fn undo(self) -> Result<(), StoreError> {
        self.end(SavepointEnd::Rollback).await
    }

    async fn end(mut self, end: SavepointEnd) -> Result<(), StoreError> {
        self.state.end = Some(end);
        self.leave().await
    }

    /// Lets the next one take its turn, and waits for how the group ends.
    async fn leave(self) -> Result<(), StoreError> {
        let Self {
            state,
            mut outcome,
            mode: _,
            commit,
        } = self;
        drop(commit);
        drop(state);
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(why))) => Err(StoreError::Internal(why.clone())),
            // The runtime is ending: whether it was committed is not known.
            Ok(None) | Err(_) => Err(StoreError::Unavailable("the writer has gone".into())),
        }
    }
}

impl WriterState {
    async fn reconnect(&mut self) -> Result<(), StoreError> {
        if self.connection.is_some() {
            return Ok(());
        }
        let connect = Arc::clone(&self.connect);
        let connected = spawn_blocking(move || {
            let mut connection = connect()?;
            fail_when_busy(&mut connection).map_err(ConnectionError::CouldntSetupConfiguration)?;
            Ok::<_, ConnectionError>(connection)
        });
        let connection = connected
            .await
            .map_err(|error| StoreError::Internal(error.to_string()))?
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        self.connection = Some(sqlite(connection));
        Ok(())
    }

    /// Opens a transaction for a unit that finds none. Cancelled in the middle, or when it
    /// fails, the connection is closed: whether there is a transaction is not known then.
    async fn open(&mut self, mode: CommitMode) -> Result<(), StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return Err(StoreError::Internal("the writer has no connection".into()));
        };
        let statements = match mode {
            CommitMode::Grouped => "BEGIN IMMEDIATE; SAVEPOINT unit",
            CommitMode::Immediate => "BEGIN IMMEDIATE",
        };
        let begun = connection.batch_execute(statements);
        #[cfg(test)]
        let begun = crate::fail_points::answered("the begin of a unit", begun);
        let begun = begun.await.map_err(StoreError::from);
        if matches!(begun, Ok(()) | Err(StoreError::LockTimeout)) {
            self.connection = Some(connection);
        }
        begun?;
        self.end = Some(SavepointEnd::Rollback);
        self.savepoint = mode == CommitMode::Grouped;
        Ok(())
    }

    /// Rolls back where all that is open is the last unit, which is to be undone. What it
    /// saw was durable when it began, so it waits for nothing any more.
    async fn roll_back_last_unit(&mut self) -> Result<(), StoreError> {
        if !matches!(
            (self.end, self.savepoint),
            (Some(SavepointEnd::Rollback), false)
        ) {
            return Ok(());
        }
        self.end = None;
        let Some(group) = self.group.take() else {
            return Ok(());
        };
        group.send_replace(Some(Ok(())));
        if let Some(mut connection) = self.connection.take() {
            connection.batch_execute("ROLLBACK").await?;
            self.connection = Some(connection);
        }
        Ok(())
    }

    /// Makes the group durable, and tells all its units. Should this end in the
    /// middle, the connection is closed and nobody waits for an answer for ever.
    async fn commit(&mut self) {
        // A failure has told them already, or a unit committed them with its own.
        let Some(group) = self.group.take() else {
            return;
        };
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let statements = format!("{}; COMMIT", self.end_last_unit());
        let result = fail_point!(connection.batch_execute(&statements).await);
        if result.is_ok() {
            self.connection = Some(connection);
            self.commits += 1;
            if self.commits == COMMITS_PER_CHECKPOINT {
                self.commits = 0;
                self.checkpoints.wake();
            }
        }
        group.send_replace(Some(result.map_err(|error| error.to_string())));
    }

    /// What ends the last unit, and leaves what is open to others.
    fn end_last_unit(&self) -> &'static str {
        match (self.end, self.savepoint) {
            (Some(SavepointEnd::Release), true) => "RELEASE unit",
            (Some(SavepointEnd::Rollback), true) => "ROLLBACK TO unit; RELEASE unit",
            // Then COMMIT has nothing to keep.
            (Some(SavepointEnd::Rollback), false) => "ROLLBACK; BEGIN",
            (Some(SavepointEnd::Release), false) | (None, _) => "",
        }
    }

    /// Runs statements on which the transaction rests: if one fails, all that is
    /// not committed is given up.
    async fn execute(&mut self, statements: &str) -> Result<(), StoreError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::Internal("the writer has no connection".into()));
        };
        let begun = connection.batch_execute(statements);
        #[cfg(test)]
        let begun = crate::fail_points::answered("the begin of a unit", begun);
        let result = begun.await;
        result.map_err(|error| {
            self.connection = None;
            self.end = None;
            if let Some(group) = self.group.take() {
                group.send_replace(Some(Err(error.to_string())));
            }
            StoreError::from(error)
        })
    }
}

/// After how many there is a checkpoint beside the writer. The writer does what is left
/// when the log has 1,000 pages, as is SQLite's way, and begins the log anew: so that is
/// to be little. What is written over a log that is there is on the disk in half the time
/// of what makes it longer.
const COMMITS_PER_CHECKPOINT: u32 = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(25);
