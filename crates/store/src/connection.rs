//! One connection, of either engine.

mod postgres;

use diesel::{QueryResult, SqliteConnection, query_dsl::methods::LoadQuery};
use diesel_async::{
    SimpleAsyncConnection as _,
    pooled_connection::deadpool::Object,
    sync_connection_wrapper::{SpawnBlocking as _, SyncConnectionWrapper},
};

pub(crate) use self::postgres::{PgConnection, ResponseClock, answered, unanswered, with_timeout};
use crate::{
    database::{SqliteThread, WriterGuard},
    error::StoreError,
};

pub(crate) type SqliteConn = SyncConnectionWrapper<SqliteConnection, SqliteThread>;

/// A connection with a thread of its own.
pub(crate) fn sqlite(connection: SqliteConnection) -> SqliteConn {
    SqliteConn::with_runtime(connection, SqliteThread::get_runtime())
}

/// A connection that reads, and writes when it is in a transaction.
pub(crate) enum Connection {
    /// Elsewhere, since it would make every unit of work so much larger.
    Pg(Box<PgConnection>),
    /// One of the readers.
    SqliteReader(Reader),
    /// The writer, for one unit of work.
    SqliteWriter(WriterGuard),
}

/// Runs one query on whichever engine it is: `with_conn!(self, |c| query.execute(c))`.
/// The query is built in the body, since its type depends on the engine; there
/// `Db` is the backend. Lists are [`load`]ed.
macro_rules! with_conn {
    ($conn:expr, |$c:ident| $query:expr) => {
        $crate::connection::with_either!($conn, |$c| $query, |$c| $query)
    };
}
pub(crate) use with_conn;

/// Loads the rows of one query from whichever engine it is: `load!(self, query)`. As in
/// [`with_conn`], `Db` is the backend. A row that is selected as a struct names it
/// (`selected::<Row, Db>()`): left to inference, the compiler takes minutes.
macro_rules! load {
    ($conn:expr, $query:expr) => {
        $crate::connection::with_either!(
            $conn,
            |pg| diesel_async::RunQueryDsl::load($query, pg),
            |sqlite| $crate::connection::load_in_place(sqlite, $query)
        )
    };
}
pub(crate) use load;

/// What [`with_conn`] and [`load`] are: for PostgreSQL and for SQLite.
macro_rules! with_either {
    ($conn:expr, |$pg:ident| $on_pg:expr, |$sqlite:ident| $on_sqlite:expr) => {
        match $conn {
            $crate::connection::Connection::Pg(pg) => {
                type Db = diesel::pg::Pg;
                let _ = std::marker::PhantomData::<Db>;
                $crate::connection::with_timeout!(pg, |$pg| $on_pg)
            }
            $crate::connection::Connection::SqliteReader(reader) => match reader.lend() {
                Some($sqlite) => {
                    type Db = diesel::sqlite::Sqlite;
                    let _ = std::marker::PhantomData::<Db>;
                    let result = $crate::fail_points::fail_point!($on_sqlite.await);
                    reader.take_back();
                    result
                }
                None => Err(diesel::result::Error::BrokenTransactionManager),
            },
            $crate::connection::Connection::SqliteWriter(guard) => match guard.connection() {
                Some($sqlite) => {
                    type Db = diesel::sqlite::Sqlite;
                    let _ = std::marker::PhantomData::<Db>;
                    $crate::fail_points::fail_point!($on_sqlite.await)
                }
                None => Err(diesel::result::Error::BrokenTransactionManager),
            },
        }
    };
}
pub(crate) use with_either;

/// Loads rows of SQLite, each read on the connection's thread while SQLite stands on it.
/// diesel-async hands over rows to be read elsewhere, for which each value is copied.
pub(crate) async fn load_in_place<Q, Row>(
    connection: &mut SqliteConn,
    query: Q,
) -> QueryResult<Vec<Row>>
where
    Q: LoadQuery<'static, SqliteConnection, Row> + Send + 'static,
    Row: Send + 'static,
{
    let load = |connection: &mut _| query.internal_load(connection)?.collect();
    connection.spawn_blocking(load).await
}

/// One of SQLite's readers. A query that its caller gave up goes on: then the
/// connection is closed instead of being given back, since the pool cannot hand
/// out one that is in use.
pub(crate) struct Reader {
    /// None only while it is being closed.
    object: Option<Object<SqliteConn>>,
    /// Whether a query is under way.
    lent: bool,
}

impl Reader {
    pub(crate) fn new(object: Object<SqliteConn>) -> Self {
        Self {
            object: Some(object),
            lent: false,
        }
    }

    /// For one query.
    pub(crate) fn lend(&mut self) -> Option<&mut SqliteConn> {
        self.lent = true;
        self.object.as_deref_mut()
    }

    /// The query is over.
    pub(crate) fn take_back(&mut self) {
        self.lent = false;
    }

    fn close(mut self) {
        self.lent = true;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.lent
            && let Some(object) = self.object.take()
        {
            drop(Object::take(object));
        }
    }
}

impl Connection {
    /// Runs statements that give no rows.
    pub(crate) async fn execute(&mut self, statements: &str) -> Result<(), StoreError> {
        Ok(with_conn!(self, |c| c.batch_execute(statements))?)
    }

    /// Closes the connection instead of giving it back, so that whatever it has
    /// under way is rolled back.
    pub(crate) fn close(self) {
        match self {
            Self::Pg(connection) => connection.close(),
            Self::SqliteReader(reader) => reader.close(),
            // The next in line undoes it.
            Self::SqliteWriter(guard) => drop(guard),
        }
    }
}
