//! The one way into a transaction.

use viridian_strategy::Timestamp;

use crate::{
    Touched, connection::Connection, database::Turn, dialect, error::StoreError, finish::finish,
    signal::Signal,
};

/// A transaction that is either committed or leaves nothing behind.
///
/// When it is dropped before that, as a cancelled future does, its connection is
/// closed instead of being given back, and so the database rolls back at once.
pub(crate) struct Transaction {
    /// None only while it is being ended.
    connection: Option<Connection>,
    clock: dialect::Clock,
    now: Option<Timestamp>,
    touched: Vec<Touched>,
}

impl Transaction {
    /// Begins one. A turn of SQLite's writer has begun already.
    pub(crate) async fn begin(
        connection: Connection,
        clock: dialect::Clock,
    ) -> Result<Self, StoreError> {
        let begun = matches!(connection, Connection::SqliteWriter(_));
        // Guarded from here on: a BEGIN may be under way when this is cancelled.
        let mut tx = Self {
            connection: Some(connection),
            clock,
            now: None,
            touched: Vec::new(),
        };
        if !begun {
            tx.connection()?.execute("BEGIN").await?;
        }
        Ok(tx)
    }

    /// Makes it durable, and then tells others what it touched: also when it is
    /// not known whether it became durable, since to look in vain costs little.
    /// Once this has begun it goes on if the caller goes away.
    pub(crate) fn commit(
        mut self,
        signal: Signal,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        finish(async move {
            let touched = std::mem::take(&mut self.touched);
            let _announced = Announced { signal, touched };
            self.end("COMMIT", Turn::keep).await
        })
    }

    /// Ends it without a trace. A failure closes the connection, which does the
    /// same.
    pub(crate) async fn rollback(mut self) -> Result<(), StoreError> {
        self.end("ROLLBACK", Turn::undo).await
    }

    async fn end(
        &mut self,
        statement: &str,
        turn: impl AsyncFnOnce(Turn) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self.connection.take() {
            Some(Connection::SqliteWriter(held)) => turn(held).await,
            // While the statement runs the guard still has the connection.
            connection => {
                self.connection = connection;
                self.connection()?.execute(statement).await?;
                drop(self.connection.take());
                Ok(())
            }
        }
    }

    pub(crate) fn connection(&mut self) -> Result<&mut Connection, StoreError> {
        self.connection
            .as_mut()
            .ok_or_else(|| StoreError::Broken("transaction is over".into()))
    }

    /// The time that decides: one for the whole transaction, asked for when its
    /// locks are held.
    pub(crate) async fn now(&mut self) -> Result<Timestamp, StoreError> {
        if let Some(now) = self.now {
            return Ok(now);
        }
        let clock = self.clock;
        let now = dialect::now(self.connection()?, clock).await?;
        self.now = Some(now);
        Ok(now)
    }

    /// Notes what others are to be told of once it is committed.
    pub(crate) fn touch(&mut self, touched: Touched) {
        self.touched.push(touched);
    }
}

/// Announces what a transaction touched when its COMMIT is over, however it ends.
struct Announced {
    signal: Signal,
    touched: Vec<Touched>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.signal.announce(std::mem::take(&mut self.touched));
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close();
        }
    }
}
