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

use super::checkpoint::Checkpoints;
use crate::{
    connection::{SqliteConn, sqlite},
    error::StoreError,
    faults::exposed,
};

/// The queue for the connection. The lock is tokio's, which is fair.
#[derive(Clone)]
pub(super) struct Writer(Arc<Mutex<Seat>>);

pub(super) type Connect = Arc<dyn Fn() -> Result<SqliteConnection, ConnectionError> + Send + Sync>;

/// Where the connection is, for whoever's turn it is.
struct Seat {
    connect: Connect,
    checkpoints: Checkpoints,
    /// How many commits there were since the last one was asked for.
    commits: u32,
    /// None after a failure closed it.
    connection: Option<SqliteConn>,
    /// The transaction that is open.
    group: Option<watch::Sender<Option<Outcome>>>,
    /// What becomes of the last unit, which is still open.
    note: Option<Note>,
    /// Whether it has a savepoint: without one it is all that is open.
    savepoint: bool,
}

/// What became of a group's COMMIT.
type Outcome = Result<(), String>;

#[derive(Clone, Copy)]
enum Note {
    Keep,
    Undo,
}

/// The first in line.
pub(crate) struct Head {
    queue: Arc<Mutex<Seat>>,
    seat: OwnedMutexGuard<Seat>,
}

/// How a unit begins.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// Together with those who are in line.
    Shared,
    /// To be committed at once.
    AtOnce,
}

/// Why a unit did not begin.
pub(super) enum NotBegun {
    /// Another program has the file's lock. Nothing was done, and the unit may try again.
    Busy(Head),
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
            return Err(StoreError::Held);
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
pub(crate) struct Turn {
    seat: OwnedMutexGuard<Seat>,
    outcome: watch::Receiver<Option<Outcome>>,
    start: Start,
    /// Of the group that it began, if it is to commit it.
    commit: Option<Commit>,
}

/// The commit of a group. Dropped, it gets in line.
struct Commit {
    /// None when it was done.
    queue: Option<Arc<Mutex<Seat>>>,
}

impl Writer {
    pub(super) fn new(
        connection: SqliteConnection,
        connect: impl Fn() -> Result<SqliteConnection, ConnectionError> + Send + Sync + 'static,
    ) -> Self {
        let connect: Connect = Arc::new(connect);
        Self(Arc::new(Mutex::new(Seat {
            checkpoints: Checkpoints::on(Arc::clone(&connect)),
            commits: 0,
            connect,
            connection: Some(sqlite(connection)),
            group: None,
            note: None,
            savepoint: false,
        })))
    }

    /// Waits in line.
    pub(super) async fn wait(&self) -> Head {
        let queue = Arc::clone(&self.0);
        let seat = Arc::clone(&queue).lock_owned().await;
        Head { queue, seat }
    }
}

impl Head {
    /// Begins a unit, and waits until a deadline for other programs.
    pub(super) async fn begin(self, start: Start, deadline: Instant) -> Result<Turn, StoreError> {
        let mut head = self;
        let mut wait = BusyWait::until(deadline);
        loop {
            match head.try_begin(start).await {
                Ok(turn) => return Ok(turn),
                Err(NotBegun::Failed(error)) => return Err(error),
                Err(NotBegun::Busy(same)) => head = same,
            }
            wait.pause().await?;
        }
    }

    /// Begins a unit, if no other program has the file's lock.
    pub(super) async fn try_begin(self, start: Start) -> Result<Turn, NotBegun> {
        let Self { queue, mut seat } = self;
        seat.reconnect().await?;
        #[cfg(test)]
        crate::faults::before("the begin of a unit")
            .await
            .map_err(StoreError::from)?;
        seat.undo_all_of_last().await?;
        if let Some(group) = &seat.group {
            let outcome = group.subscribe();
            let statements = format!("{}; SAVEPOINT unit", seat.end_of_last());
            // Cancelled from here on, there is something to be undone.
            seat.note = Some(Note::Undo);
            seat.savepoint = true;
            seat.execute(&statements).await?;
            return Ok(Turn {
                seat,
                outcome,
                start,
                commit: None,
            });
        }
        match seat.open(start).await {
            // Only this is another program's: within the writer nobody else has it.
            Err(StoreError::Held) => return Err(NotBegun::Busy(Self { queue, seat })),
            opened => opened?,
        }
        let (sender, outcome) = watch::channel(None);
        seat.group = Some(sender);
        let commit = Commit { queue: Some(queue) };
        Ok(Turn {
            seat,
            outcome,
            start,
            // Dropped here it gets in line, behind all who wait already.
            commit: Some(commit).filter(|_| start == Start::AtOnce),
        })
    }
}

impl Drop for Commit {
    fn drop(&mut self) {
        let Some(queue) = self.queue.take() else {
            return;
        };
        let commit = async move { queue.lock_owned().await.commit().await };
        #[cfg(test)]
        let commit = crate::faults::inherited(commit);
        // Without a runtime the process is ending.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(commit);
        }
    }
}

impl Turn {
    /// None when the connection was lost in this turn.
    pub(crate) fn connection(&mut self) -> Option<&mut SqliteConn> {
        self.seat.connection.as_mut()
    }

    /// Keeps what the unit wrote, and waits until it is durable, or makes it so at
    /// once.
    pub(crate) async fn keep(mut self) -> Result<(), StoreError> {
        if self.start == Start::AtOnce {
            self.seat.note = Some(Note::Keep);
            self.seat.commit().await;
            if let Some(mut commit) = self.commit.take() {
                commit.queue = None;
            }
        }
        self.end(Note::Keep).await
    }

    /// Undoes what the unit wrote, and waits until what it saw is durable.
    pub(crate) async fn undo(self) -> Result<(), StoreError> {
        self.end(Note::Undo).await
    }

    async fn end(mut self, note: Note) -> Result<(), StoreError> {
        self.seat.note = Some(note);
        self.leave().await
    }

    /// Lets the next one take its turn, and waits for how the group ends.
    async fn leave(self) -> Result<(), StoreError> {
        let Self {
            seat,
            mut outcome,
            start: _,
            commit,
        } = self;
        drop(commit);
        drop(seat);
        match outcome.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(why))) => Err(StoreError::Broken(why.clone())),
            // The runtime is ending: whether it was committed is not known.
            Ok(None) | Err(_) => Err(StoreError::Away("the writer has gone".into())),
        }
    }
}

impl Seat {
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
            .map_err(|error| StoreError::Broken(error.to_string()))?
            .map_err(|error| StoreError::Away(error.to_string()))?;
        self.connection = Some(sqlite(connection));
        Ok(())
    }

    /// Opens a transaction for a unit that finds none. Cancelled in the middle, or when it
    /// fails, the connection is closed: whether there is a transaction is not known then.
    async fn open(&mut self, start: Start) -> Result<(), StoreError> {
        let Some(mut connection) = self.connection.take() else {
            return Err(StoreError::Broken("the writer has no connection".into()));
        };
        let statements = match start {
            Start::Shared => "BEGIN IMMEDIATE; SAVEPOINT unit",
            Start::AtOnce => "BEGIN IMMEDIATE",
        };
        let begun = connection.batch_execute(statements);
        #[cfg(test)]
        let begun = crate::faults::answered("the begin of a unit", begun);
        let begun = begun.await.map_err(StoreError::from);
        if matches!(begun, Ok(()) | Err(StoreError::Held)) {
            self.connection = Some(connection);
        }
        begun?;
        self.note = Some(Note::Undo);
        self.savepoint = start == Start::Shared;
        Ok(())
    }

    /// Rolls back where all that is open is the last unit, which is to be undone. What it
    /// saw was durable when it began, so it waits for nothing any more.
    async fn undo_all_of_last(&mut self) -> Result<(), StoreError> {
        if !matches!((self.note, self.savepoint), (Some(Note::Undo), false)) {
            return Ok(());
        }
        self.note = None;
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
        let statements = format!("{}; COMMIT", self.end_of_last());
        let result = exposed!(connection.batch_execute(&statements).await);
        if result.is_ok() {
            self.connection = Some(connection);
            self.commits += 1;
            if self.commits == COMMITS {
                self.commits = 0;
                self.checkpoints.wake();
            }
        }
        group.send_replace(Some(result.map_err(|error| error.to_string())));
    }

    /// What ends the last unit, and leaves what is open to others.
    fn end_of_last(&self) -> &'static str {
        match (self.note, self.savepoint) {
            (Some(Note::Keep), true) => "RELEASE unit",
            (Some(Note::Undo), true) => "ROLLBACK TO unit; RELEASE unit",
            // Then COMMIT has nothing to keep.
            (Some(Note::Undo), false) => "ROLLBACK; BEGIN",
            (Some(Note::Keep), false) | (None, _) => "",
        }
    }

    /// Runs statements on which the transaction rests: if one fails, all that is
    /// not committed is given up.
    async fn execute(&mut self, statements: &str) -> Result<(), StoreError> {
        let Some(connection) = &mut self.connection else {
            return Err(StoreError::Broken("the writer has no connection".into()));
        };
        let begun = connection.batch_execute(statements);
        #[cfg(test)]
        let begun = crate::faults::answered("the begin of a unit", begun);
        let result = begun.await;
        result.map_err(|error| {
            self.connection = None;
            self.note = None;
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
const COMMITS: u32 = 4;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(25);
