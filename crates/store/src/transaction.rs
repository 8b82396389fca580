//! The one way into a transaction.

use viridian_strategy::Timestamp;

use crate::{
    CommitNotice,
    complete_on_drop::complete_on_drop,
    connection::Connection,
    database::WriterGuard,
    dialect::{self, RoundTrip},
    error::StoreError,
    notifier::Notifier,
    telemetry::Moved,
    write::{self, CommitOutcome, Write},
};

/// A transaction that is either committed or leaves nothing behind.
///
/// What it is to write it collects, and does when it is committed.
///
/// When it is dropped before that, as a cancelled future does, its connection is
/// closed instead of being given back, and so the database rolls back at once.
pub(crate) struct Transaction {
    /// None only while it is being ended.
    connection: Option<Connection>,
    /// Whether the database knows of it. PostgreSQL is told with what comes
    /// first; a guard of SQLite's writer has begun already.
    begun: bool,
    clock: dialect::Clock,
    now: Option<Timestamp>,
    writes: Vec<Write>,
    notices: Vec<CommitNotice>,
    moved: Vec<Moved>,
}

impl Transaction {
    pub(crate) fn on(connection: Connection, clock: dialect::Clock) -> Self {
        Self {
            begun: matches!(connection, Connection::SqliteWriter(_)),
            connection: Some(connection),
            clock,
            now: None,
            writes: Vec::new(),
            notices: Vec::new(),
            moved: Vec::new(),
        }
    }

    /// Does what was collected, makes it durable, and then tells others what it
    /// notices: also when it is not known whether it became durable, since to
    /// look in vain costs little. Once COMMIT is sent this goes on if the caller
    /// goes away, until there is an answer or no more is waited for one.
    pub(crate) async fn commit(mut self, notifier: Notifier) -> Result<(), StoreError> {
        if let Some(Connection::SqliteWriter(guard)) = &mut self.connection {
            let writes = std::mem::take(&mut self.writes);
            if let Err(error) = write::write(guard, writes).await {
                self.rollback().await?;
                return Err(error);
            }
        }
        let moved = std::mem::take(&mut self.moved);
        let commit = self.make_durable(notifier);
        let told = async {
            commit
                .await
                .map(|()| moved.into_iter().for_each(Moved::tell))
        };
        complete_on_drop(told).await
    }

    async fn make_durable(mut self, notifier: Notifier) -> Result<(), StoreError> {
        let mut notices = NotifyOnDrop {
            notifier,
            notices: std::mem::take(&mut self.notices),
        };
        let writes = std::mem::take(&mut self.writes);
        let nothing = !self.begun && writes.is_empty();
        let round_trip = RoundTrip {
            begin: !self.begun,
            clock: self.clock,
        };
        match &mut self.connection {
            Some(Connection::Pg(connection)) if !nothing => {
                let outcome = write::write_and_commit(connection, round_trip, writes).await?;
                let CommitOutcome { written, committed } = outcome;
                if written.is_err() && committed.is_ok() {
                    notices.notices.clear();
                }
                committed?;
                self.connection = None;
                written
            }
            _ => self.end(WriterGuard::keep).await,
        }
    }

    /// Ends it without a trace. A failure closes the connection, which does the
    /// same.
    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        if let Some(connection @ Connection::Pg(_)) = &mut self.connection
            && self.begun
        {
            // While the statement runs the guard still has the connection.
            connection.execute("ROLLBACK").await?;
        }
        self.end(WriterGuard::undo).await
    }

    /// Gives the connection back.
    async fn end(
        &mut self,
        guard: impl AsyncFnOnce(WriterGuard) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.connection.take() {
            Some(Connection::SqliteWriter(held)) => guard(held).await,
            _ => Ok(()),
        }
    }

    /// For a statement whose result is needed now.
    pub(crate) async fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        let (connection, round_trip) = self.round_trip()?;
        if round_trip.begin {
            connection.execute("BEGIN").await?;
        }
        Ok(connection)
    }

    /// For several of them, in one round trip to the database.
    pub(crate) fn round_trip(&mut self) -> Result<(&mut Connection, RoundTrip), StoreError> {
        let round_trip = RoundTrip {
            begin: !std::mem::replace(&mut self.begun, true),
            clock: self.clock,
        };
        let connection = self
            .connection
            .as_mut()
            .ok_or_else(|| StoreError::Internal("transaction is over".into()))?;
        Ok((connection, round_trip))
    }

    /// The time that decides: one for the whole transaction, asked for when its
    /// locks are held.
    pub(crate) async fn now(&mut self) -> Result<Timestamp, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let (connection, round_trip) = self.round_trip()?;
        let now = dialect::now(connection, round_trip).await?;
        Ok(self.as_of(now))
    }

    /// The same, when it was asked for already: the first time counts.
    pub(crate) fn as_of(&mut self, now: Timestamp) -> Timestamp {
        *self.now.get_or_insert(now)
    }

    /// Collects what is to be written.
    pub(crate) fn write(&mut self, writes: impl IntoIterator<Item = Write>) {
        let writes = writes.into_iter().filter(|write| !write.is_empty());
        self.writes.extend(writes);
    }

    /// Notes what is to be told of moves once it is committed.
    pub(crate) fn tell(&mut self, moved: Option<Moved>) {
        self.moved.extend(moved);
    }

    /// Notes what others are to be told of once it is committed.
    pub(crate) fn notify_on_commit(&mut self, notices: CommitNotice) {
        self.notices.push(notices);
    }
}

/// Announces what a transaction notices when its COMMIT is over, however it ends.
struct NotifyOnDrop {
    notifier: Notifier,
    notices: Vec<CommitNotice>,
}

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.notifier.notify(std::mem::take(&mut self.notices));
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}
