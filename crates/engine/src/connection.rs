//! One connection, of either engine.

use diesel::{QueryResult, SqliteConnection, query_dsl::methods::LoadQuery};
use diesel_async::{SimpleAsyncConnection as _, pooled_connection::deadpool::Object};

use crate::{
    error::EngineError, pg_connection::PgConnection, sqlite_thread::SqliteConn, writer::WriterGuard,
};

/// A connection that reads, and in a transaction writes.
pub enum EngineConnection {
    /// One of PostgreSQL's. Boxed: every unit of work would be that much larger.
    Pg(Box<PgConnection>),
    /// One of SQLite's readers.
    SqliteReader(SqliteReader),
    /// SQLite's writer, for one unit of work.
    SqliteWriter(WriterGuard),
}

/// A connection, or a type around one that has its own statements.
pub trait AsEngine {
    /// Returns the connection itself.
    fn as_engine(&mut self) -> &mut EngineConnection;
}

impl AsEngine for EngineConnection {
    fn as_engine(&mut self) -> &mut EngineConnection {
        self
    }
}

/// Runs one query on either engine: `with_conn!(self, |c| query.execute(c))`. The query is
/// built in the body, since its type depends on the engine; there `Db` is the backend.
/// Rows are loaded by [`load!`](crate::load).
#[macro_export]
macro_rules! with_conn {
    ($conn:expr, |$c:ident| $query:expr) => {
        $crate::with_either!($conn, |$c| $query, |$c| $query)
    };
}

/// Loads the rows of one query from either engine: `load!(self, query)`. As in
/// [`with_conn!`], `Db` is the backend. A row that is selected as a struct names it
/// (`selected::<Row, Db>()`): the compiler takes minutes to infer it.
#[macro_export]
macro_rules! load {
    ($conn:expr, $query:expr) => {
        $crate::with_either!(
            $conn,
            |pg| diesel_async::RunQueryDsl::load($query, pg),
            |sqlite| $crate::load_in_place(sqlite, $query)
        )
    };
}

/// What [`with_conn!`] and [`load!`] expand to: for PostgreSQL and for SQLite.
#[doc(hidden)]
#[macro_export]
macro_rules! with_either {
    ($conn:expr, |$pg:ident| $on_pg:expr, |$sqlite:ident| $on_sqlite:expr) => {
        match $crate::AsEngine::as_engine($conn) {
            $crate::EngineConnection::Pg(pg) => {
                type Db = diesel::pg::Pg;
                let _ = std::marker::PhantomData::<Db>;
                $crate::with_timeout!(pg, |$pg| $on_pg)
            }
            $crate::EngineConnection::SqliteReader(reader) => match reader.lend() {
                Some($sqlite) => {
                    type Db = diesel::sqlite::Sqlite;
                    let _ = std::marker::PhantomData::<Db>;
                    let result = $crate::fail_point!($on_sqlite.await);
                    // Not reached by a cancelled caller, whose reader is closed when dropped.
                    reader.take_back();
                    result
                }
                None => Err(diesel::result::Error::BrokenTransactionManager),
            },
            $crate::EngineConnection::SqliteWriter(guard) => match guard.connection() {
                Some($sqlite) => {
                    type Db = diesel::sqlite::Sqlite;
                    let _ = std::marker::PhantomData::<Db>;
                    let result = $crate::fail_point!($on_sqlite.await);
                    guard.note(&result);
                    result
                }
                None => Err(diesel::result::Error::BrokenTransactionManager),
            },
        }
    };
}

/// Loads rows of SQLite, and reads each on the connection's thread while SQLite stands on
/// it. diesel-async hands rows over to be read elsewhere, for which it copies each value.
#[doc(hidden)]
pub async fn load_in_place<Q, Row>(connection: &mut SqliteConn, query: Q) -> QueryResult<Vec<Row>>
where
    Q: LoadQuery<'static, SqliteConnection, Row> + Send + 'static,
    Row: Send + 'static,
{
    let load = |connection: &mut _| query.internal_load(connection)?.collect();
    connection.spawn_blocking(load).await
}

/// One of SQLite's readers. A query that its caller gave up goes on, and the pool cannot
/// hand out a connection that is in use: then it is closed instead of being returned.
pub struct SqliteReader {
    /// None only while it is being closed.
    object: Option<Object<SqliteConn>>,
    /// Whether a query is under way.
    lent: bool,
}

impl SqliteReader {
    pub(crate) fn new(object: Object<SqliteConn>) -> Self {
        Self {
            object: Some(object),
            lent: false,
        }
    }

    /// Lends the connection for one query.
    #[doc(hidden)]
    pub fn lend(&mut self) -> Option<&mut SqliteConn> {
        self.lent = true;
        self.object.as_deref_mut()
    }

    /// Notes that the query is over.
    #[doc(hidden)]
    pub fn take_back(&mut self) {
        self.lent = false;
    }

    fn close(mut self) {
        self.lent = true;
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        if self.lent
            && let Some(object) = self.object.take()
        {
            drop(Object::take(object));
        }
    }
}

impl EngineConnection {
    /// Runs statements that return no rows.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn execute(&mut self, statements: &str) -> Result<(), EngineError> {
        Ok(with_conn!(self, |c| c.batch_execute(statements))?)
    }

    /// Returns whether what is committed becomes visible in the order in which it was
    /// written: only where there is one writer.
    pub fn commits_in_order(&self) -> bool {
        !matches!(self, Self::Pg(_))
    }

    /// Closes the connection instead of returning it, so that whatever it has under way is
    /// rolled back.
    pub(crate) fn close(self) {
        match self {
            Self::Pg(connection) => connection.close(),
            Self::SqliteReader(reader) => reader.close(),
            // The next unit rolls it back.
            Self::SqliteWriter(guard) => drop(guard),
        }
    }
}
