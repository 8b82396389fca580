//! SQLite's one writer: a fair queue, and group commit.
//!
//! A unit of work waits for the connection. A unit that finds no transaction open begins
//! one, and its commit joins the end of the queue. Each unit is a savepoint of that
//! transaction, so that one can be rolled back without the others. A unit that already
//! holds many calls waits for no others: it commits what is open, and needs no savepoint
//! if nothing else is.
//!
//! No unit gets an answer before the one COMMIT is durable. That includes a refusal, which
//! may rest on what an earlier unit of the group wrote.
//!
//! A unit ends by recording what happens to its savepoint, and the next unit acts on that.
//! So there is no moment at which a cancelled unit is half ended.

mod group_commit;

use std::sync::Arc;

use diesel::{ConnectionError, QueryResult, SqliteConnection};
use diesel_async::SimpleAsyncConnection as _;
use tokio::{
    sync::{Mutex, OwnedMutexGuard, watch},
    task::spawn_blocking,
    time::Instant,
};

use self::group_commit::GroupCommit;
use crate::{
    busy_wait::{BusyWait, fail_when_busy},
    checkpointer::Checkpointer,
    error::EngineError,
    fail_point,
    sqlite_file::SqliteFile,
    sqlite_thread::{SqliteConn, SqliteConnector, with_thread},
    write_fault::{LastWriteFault, WriteFault},
};

/// The queue for the connection. The lock is tokio's, which is fair.
#[derive(Clone)]
pub(crate) struct Writer(Arc<Mutex<WriterState>>);

/// The connection, and what is open on it.
struct WriterState {
    file: Arc<SqliteFile>,
    faults: LastWriteFault,
    connect: SqliteConnector,
    checkpoints: Checkpointer,
    /// Commits since the last checkpoint was asked for.
    commits: u32,
    /// None after a failure closed it.
    connection: Option<SqliteConn>,
    /// The transaction that is open.
    group: Option<watch::Sender<Option<GroupOutcome>>>,
    /// How the last unit ends, which is still open.
    end: Option<SavepointEnd>,
    /// Whether it has a savepoint. Without one nothing else is open.
    savepoint: bool,
}

/// The result of a group's COMMIT.
type GroupOutcome = Result<(), EngineError>;

#[derive(Clone, Copy)]
enum SavepointEnd {
    Release,
    Rollback,
}

/// The permit to begin a unit: the caller is the first in the queue.
pub(crate) struct WriterPermit {
    queue: Arc<Mutex<WriterState>>,
    state: OwnedMutexGuard<WriterState>,
}

/// When a unit is committed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitMode {
    /// Together with the units in the queue.
    Grouped,
    /// At its end.
    Immediate,
}

/// Why a unit did not begin.
pub(crate) enum NotBegun {
    /// Another program has the file's lock. Nothing was done, and the unit can try again.
    Busy(WriterPermit),
    Failed(EngineError),
}

impl From<EngineError> for NotBegun {
    fn from(error: EngineError) -> Self {
        Self::Failed(error)
    }
}

/// A unit that has the connection. Dropped, the unit is rolled back.
pub struct WriterGuard {
    state: OwnedMutexGuard<WriterState>,
    outcome: watch::Receiver<Option<GroupOutcome>>,
    mode: CommitMode,
    /// The commit of the group that it began, if it commits that itself.
    commit: Option<GroupCommit>,
}

impl Writer {
    pub(crate) fn new(
        connection: SqliteConnection,
        file: Arc<SqliteFile>,
        faults: LastWriteFault,
        connect: impl Fn() -> Result<SqliteConnection, ConnectionError> + Send + Sync + 'static,
    ) -> Self {
        let connect: SqliteConnector = Arc::new(connect);
        Self(Arc::new(Mutex::new(WriterState {
            file,
            faults,
            checkpoints: Checkpointer::on(Arc::clone(&connect)),
            commits: 0,
            connect,
            connection: Some(with_thread(connection)),
            group: None,
            end: None,
            savepoint: false,
        })))
    }

    /// Resolves when the thread that checkpoints has panicked, with its message.
    pub(crate) async fn checkpointer_failure(&self) -> String {
        let mut failure = self.0.lock().await.checkpoints.failure();
        let message = failure.wait_for(Option::is_some).await;
        // Cloned at once: the guard must not be held across an await.
        match message.ok().and_then(|message| message.clone()) {
            Some(message) => message,
            // The thread has ended with the writer, as it should.
            None => std::future::pending().await,
        }
    }

    /// Waits for the connection.
    pub(crate) async fn acquire(&self) -> WriterPermit {
        let queue = Arc::clone(&self.0);
        let state = Arc::clone(&queue).lock_owned().await;
        WriterPermit { queue, state }
    }
}

impl WriterPermit {
    /// Begins a unit. Waits for other programs until a deadline.
    pub(crate) async fn begin(
        self,
        mode: CommitMode,
        deadline: Instant,
    ) -> Result<WriterGuard, EngineError> {
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

    /// Begins a unit, unless another program has the file's lock.
    pub(crate) async fn try_begin(self, mode: CommitMode) -> Result<WriterGuard, NotBegun> {
        let Self { queue, mut state } = self;
        // A unit that reads first would otherwise be given what is only in a file that is gone.
        state.file.expect_unmoved().map_err(EngineError::from)?;
        state.reconnect().await?;
        #[cfg(feature = "testing")]
        crate::fail_points::before("the begin of a unit")
            .await
            .map_err(EngineError::from)?;
        // A group that has only a unit to roll back is ended here, and this unit opens a group of
        // its own.
        state.roll_back_last_unit().await?;
        if let Some(group) = &state.group {
            let outcome = group.subscribe();
            let statements = format!("{}; SAVEPOINT unit", state.end_last_unit());
            // If this is cancelled from here on, the next unit has something to roll back.
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
            // Only another program can hold the lock: in this one the permit excludes all others.
            Err(EngineError::LockTimeout) => return Err(NotBegun::Busy(Self { queue, state })),
            opened => opened?,
        }
        let (sender, outcome) = watch::channel(None);
        // Only after BEGIN: a unit that failed to begin must leave no group that the next one would
        // join.
        state.group = Some(sender);
        let commit = GroupCommit { queue: Some(queue) };
        Ok(WriterGuard {
            state,
            outcome,
            mode,
            // Dropped here it joins the queue, after all units that wait already.
            commit: Some(commit).filter(|_| mode == CommitMode::Immediate),
        })
    }
}

impl WriterGuard {
    /// Returns the connection. None when it was lost during this unit.
    #[doc(hidden)]
    pub fn connection(&mut self) -> Option<&mut SqliteConn> {
        self.state.connection.as_mut()
    }

    /// Notes how a statement ended. SQLite rolls back all of a transaction for which there is
    /// no room, the units before this one included.
    #[doc(hidden)]
    pub fn note<T>(&mut self, result: &QueryResult<T>) {
        if let Err(error) = result
            && let Some(fault) = WriteFault::of(error)
        {
            self.state.fail_group(&fault.into());
        }
    }

    /// Keeps what the unit wrote, and waits until it is durable.
    pub(crate) async fn commit(mut self) -> Result<(), EngineError> {
        if self.mode == CommitMode::Immediate {
            // Before the COMMIT, which otherwise rolls this unit back first.
            self.state.end = Some(SavepointEnd::Release);
            self.state.commit().await;
            if let Some(mut commit) = self.commit.take() {
                // It is done. Dropped with its queue, it would commit whatever group is open by
                // then.
                commit.queue = None;
            }
        }
        self.end(SavepointEnd::Release).await
    }

    /// Rolls back what the unit wrote, and waits until what it read is durable.
    pub(crate) async fn roll_back(self) -> Result<(), EngineError> {
        self.end(SavepointEnd::Rollback).await
    }

    async fn end(mut self, end: SavepointEnd) -> Result<(), EngineError> {
        self.state.end = Some(end);
        self.leave().await
    }

    /// Lets the next unit begin, and waits for the group's COMMIT.
    async fn leave(self) -> Result<(), EngineError> {
        let Self {
            state,
            mut outcome,
            mode: _,
            commit,
        } = self;
        // A unit that is rolled back leaves the group open that it began: its commit joins the
        // queue.
        drop(commit);
        drop(state);
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(error))) => Err(error.clone()),
            // The runtime is ending, and it is unknown whether the group was committed.
            Ok(None) | Err(_) => Err(EngineError::Unavailable("the writer has gone".into())),
        }
    }
}

impl WriterState {
    async fn reconnect(&mut self) -> Result<(), EngineError> {
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
            .map_err(|error| EngineError::Internal(error.to_string()))?
            .map_err(|error| EngineError::Unavailable(error.to_string()))?;
        self.connection = Some(with_thread(connection));
        Ok(())
    }

    /// Opens a transaction for a unit that finds none.
    ///
    /// The connection is taken out meanwhile. If this is cancelled or fails, it is closed:
    /// it may have a transaction then, and the next BEGIN on it would fail.
    async fn open(&mut self, mode: CommitMode) -> Result<(), EngineError> {
        let Some(mut connection) = self.connection.take() else {
            return Err(EngineError::Internal("the writer has no connection".into()));
        };
        let statements = match mode {
            CommitMode::Grouped => "BEGIN IMMEDIATE; SAVEPOINT unit",
            CommitMode::Immediate => "BEGIN IMMEDIATE",
        };
        let begun = connection.batch_execute(statements);
        #[cfg(feature = "testing")]
        let begun = crate::fail_points::answered("the begin of a unit", begun);
        let begun = begun.await.map_err(EngineError::from);
        // A file that another program has locked leaves the connection as it was, without a
        // transaction.
        if matches!(begun, Ok(()) | Err(EngineError::LockTimeout)) {
            self.connection = Some(connection);
        }
        begun?;
        // Until the unit ends otherwise: a cancelled one is rolled back by the next.
        self.end = Some(SavepointEnd::Rollback);
        self.savepoint = mode == CommitMode::Grouped;
        Ok(())
    }

    /// Rolls back if all that is open is a unit that was rolled back. It waits for nothing
    /// any more, since what it read was durable before it began.
    async fn roll_back_last_unit(&mut self) -> Result<(), EngineError> {
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

    /// Commits the group and sends the outcome to all its units.
    ///
    /// The connection and the group are taken out meanwhile. If this is cancelled, both are
    /// dropped: the connection is closed, and the units get an error instead of waiting for
    /// ever.
    async fn commit(&mut self) {
        // A failure has ended its units already, or a unit has committed it at its end.
        let Some(group) = self.group.take() else {
            return;
        };
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let statements = format!("{}; COMMIT", self.end_last_unit());
        let result = fail_point!(connection.batch_execute(&statements).await);
        // After a failure the connection is closed: the transaction may still be open on it.
        if result.is_ok() {
            self.connection = Some(connection);
            self.commits += 1;
            if self.commits == COMMITS_PER_CHECKPOINT {
                self.commits = 0;
                self.checkpoints.wake();
            }
        }
        // Only now: a file that was deleted takes a COMMIT as any other does.
        let durable = result.map_err(EngineError::from);
        let durable = durable.and_then(|()| Ok(self.file.expect_unmoved()?));
        if let Err(EngineError::Unwritable(fault)) = &durable {
            self.faults.set(Some(fault.clone()));
        }
        group.send_replace(Some(durable));
    }

    /// Returns the statements that end the last unit and keep the transaction open.
    fn end_last_unit(&self) -> &'static str {
        match (self.end, self.savepoint) {
            (Some(SavepointEnd::Release), true) => "RELEASE unit",
            (Some(SavepointEnd::Rollback), true) => "ROLLBACK TO unit; RELEASE unit",
            // The COMMIT that follows needs a transaction.
            (Some(SavepointEnd::Rollback), false) => "ROLLBACK; BEGIN",
            (Some(SavepointEnd::Release), false) | (None, _) => "",
        }
    }

    /// Runs statements that the whole group depends on: if they fail, so do all its units.
    async fn execute(&mut self, statements: &str) -> Result<(), EngineError> {
        let Some(connection) = &mut self.connection else {
            return Err(EngineError::Internal("the writer has no connection".into()));
        };
        let begun = connection.batch_execute(statements);
        #[cfg(feature = "testing")]
        let begun = crate::fail_points::answered("the begin of a unit", begun);
        let result = begun.await;
        let result = result.map_err(EngineError::from);
        result.inspect_err(|error| self.fail_group(error))
    }

    /// Fails all units of the group. The transaction may be broken or gone: the next unit opens
    /// another connection.
    fn fail_group(&mut self, error: &EngineError) {
        self.connection = None;
        self.end = None;
        if let EngineError::Unwritable(fault) = error {
            self.faults.set(Some(fault.clone()));
        }
        if let Some(group) = self.group.take() {
            group.send_replace(Some(Err(error.clone())));
        }
    }
}

/// Commits between background checkpoints. It keeps the WAL short: SQLite overwrites a WAL
/// whose pages are all in the file, and overwriting syncs twice as fast as extending it.
/// What is left at 1,000 pages the writer has to checkpoint itself.
const COMMITS_PER_CHECKPOINT: u32 = 4;
