//! A transaction that collects what it writes, and sends it with COMMIT.

use crate::{
    complete_on_drop::complete_on_drop,
    connection::{AsEngine, EngineConnection},
    error::EngineError,
    round_trip::{RoundTrip, TimeSource},
    write::{self, CommitOutcome, Write},
    writer::WriterGuard,
};

/// What follows a COMMIT: dropped when that is over.
pub trait CommitHook: Send + 'static {
    /// COMMIT is about to be sent. From here on the transaction may be committed, also if
    /// the answer is lost.
    fn sending(&mut self);

    /// Nothing was committed.
    fn rolled_back(&mut self);

    /// Everything was committed, and is durable.
    fn committed(&mut self);
}

/// A transaction that is either committed or leaves nothing behind. `C` is the caller's type
/// around a connection.
///
/// Dropped before its end, as a cancelled future is, it closes its connection instead of
/// returning it, so that the database rolls back at once.
pub struct SqlTransaction<C: AsEngine + Into<EngineConnection>> {
    /// None only while it is being ended.
    connection: Option<C>,
    /// Whether the database knows of it. PostgreSQL gets BEGIN with the first statement;
    /// SQLite's writer has begun already.
    begun: bool,
    time: TimeSource,
    writes: Vec<Write>,
}

impl<C> SqlTransaction<C>
where
    C: AsEngine + From<EngineConnection> + Into<EngineConnection> + Send + 'static,
{
    pub(crate) fn on(connection: EngineConnection, time: TimeSource) -> Self {
        Self {
            begun: matches!(connection, EngineConnection::SqliteWriter(_)),
            connection: Some(connection.into()),
            time,
            writes: Vec::new(),
        }
    }

    /// Returns the connection, for a statement whose result is needed now.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn connection(&mut self) -> Result<&mut C, EngineError> {
        let (connection, round_trip) = self.round_trip()?;
        if round_trip.begin {
            // diesel does not know of this transaction and would never roll it back. That is done
            // by `rollback`, or by closing the connection when this is dropped.
            connection.as_engine().execute("BEGIN").await?;
        }
        Ok(connection)
    }

    /// Returns the connection, for several statements in one round trip.
    ///
    /// # Errors
    ///
    /// When the transaction has ended.
    pub fn round_trip(&mut self) -> Result<(&mut C, RoundTrip), EngineError> {
        let round_trip = RoundTrip {
            // Set before BEGIN is sent: it may arrive although its answer is lost.
            begin: !std::mem::replace(&mut self.begun, true),
            time: self.time,
        };
        let connection = self
            .connection
            .as_mut()
            .ok_or_else(|| EngineError::Internal("transaction is over".into()))?;
        Ok((connection, round_trip))
    }

    /// Collects writes for the end of the transaction.
    pub fn write(&mut self, writes: impl IntoIterator<Item = Write>) {
        // One without rows would change the text of the statement on PostgreSQL, and each text has
        // to be prepared.
        let writes = writes.into_iter().filter(|write| !write.is_empty());
        self.writes.extend(writes);
    }

    /// Writes what was collected and commits. Once COMMIT is sent this continues if the
    /// caller goes away, until there is an answer or a timeout.
    ///
    /// # Errors
    ///
    /// When the database fails. It may have committed all the same.
    pub async fn commit(mut self, mut hook: impl CommitHook) -> Result<(), EngineError> {
        let connection = self.connection.as_mut().map(C::as_engine);
        if let Some(EngineConnection::SqliteWriter(guard)) = connection {
            // Before COMMIT, which is the whole group's: a failure here is this unit's alone.
            let writes = std::mem::take(&mut self.writes);
            if let Err(error) = write::write(guard, writes).await {
                self.rollback().await?;
                return Err(error);
            }
        }
        hook.sending();
        complete_on_drop(self.make_durable(hook)).await
    }

    async fn make_durable(mut self, mut hook: impl CommitHook) -> Result<(), EngineError> {
        let writes = std::mem::take(&mut self.writes);
        // Without a statement there is no transaction, and COMMIT would be a round trip for
        // nothing.
        let nothing = !self.begun && writes.is_empty();
        let round_trip = RoundTrip {
            begin: !self.begun,
            time: self.time,
        };
        let durable = match self.engine_connection() {
            Some(EngineConnection::Pg(connection)) if !nothing => {
                let outcome = write::write_and_commit(connection, round_trip, writes).await?;
                let CommitOutcome { written, committed } = outcome;
                if written.is_err() && committed.is_ok() {
                    // The statement before it failed, so COMMIT has rolled back.
                    hook.rolled_back();
                }
                committed?;
                // COMMIT was answered, so it goes back to the pool. After `?` it is still here, and
                // is closed.
                self.connection = None;
                written
            }
            _ => self.end(WriterGuard::commit).await,
        };
        if durable.is_ok() {
            hook.committed();
        }
        durable
    }

    /// Rolls back. A failure closes the connection, which does the same.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn rollback(mut self) -> Result<(), EngineError> {
        let begun = self.begun;
        if let Some(connection @ EngineConnection::Pg(_)) = self.engine_connection()
            && begun
        {
            // Meanwhile the transaction still has the connection: cancelled here, it closes
            // it.
            connection.execute("ROLLBACK").await?;
        }
        self.end(WriterGuard::roll_back).await
    }

    /// Returns the connection to where it came from.
    async fn end(
        &mut self,
        end: impl AsyncFnOnce(WriterGuard) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        match self.connection.take().map(Into::into) {
            Some(EngineConnection::SqliteWriter(guard)) => end(guard).await,
            _ => Ok(()),
        }
    }

    fn engine_connection(&mut self) -> Option<&mut EngineConnection> {
        self.connection.as_mut().map(C::as_engine)
    }
}

impl<C: AsEngine + Into<EngineConnection>> Drop for SqlTransaction<C> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.into().close();
        }
    }
}
