//! All that knows that there are two engines, besides how values are kept
//! ([`crate::types`]) and how a connection is made ([`crate::database`]).

use std::{
    collections::BTreeSet,
    time::{SystemTime, UNIX_EPOCH},
};

use diesel::{
    QueryResult, QueryableByName, Selectable, SelectableHelper as _,
    backend::Backend,
    dsl::AsSelect,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sqlite::Sqlite,
};
use diesel_async::RunQueryDsl;
use viridian_strategy::Timestamp;

use crate::{
    connection::Connection,
    error::StoreError,
    faults::exposed,
    types::{Instant, Sql},
};

/// Whose time counts on SQLite, where the database has none.
pub(crate) type Clock = fn() -> Timestamp;

/// The process's time.
pub(crate) fn system_clock() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[diesel::declare_sql_function]
extern "SQL" {
    fn clock_timestamp() -> Instant;
}

/// The time that decides: the database's, or on SQLite the clock's.
pub(crate) async fn now(
    connection: &mut Connection,
    clock: Clock,
) -> Result<Timestamp, StoreError> {
    match connection {
        Connection::Pg(object) => {
            let now = diesel::select(clock_timestamp());
            let Sql(now) = exposed!(now.get_result(&mut **object).await)?;
            Ok(now)
        }
        Connection::SqliteReader(_) | Connection::SqliteWriter(_) => Ok(clock()),
    }
}

/// Whether what is committed becomes visible in the order of its positions.
pub(crate) fn in_order(connection: &Connection) -> bool {
    match connection {
        Connection::Pg(_) => false,
        Connection::SqliteReader(_) | Connection::SqliteWriter(_) => true,
    }
}

#[derive(QueryableByName)]
struct Writer {
    #[diesel(sql_type = diesel::sql_types::Text)]
    virtualtransaction: String,
}

/// The transactions that write events and are not over. None where nobody can be
/// seen to.
pub(crate) async fn writers_of_events(
    connection: &mut Connection,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    match connection {
        Connection::Pg(object) => {
            let query = diesel::sql_query(WRITERS_OF_EVENTS);
            let writers: Vec<Writer> = exposed!(query.load(&mut **object).await)?;
            let names = writers.into_iter().map(|it| it.virtualtransaction);
            Ok(Some(names.collect()))
        }
        Connection::SqliteReader(_) | Connection::SqliteWriter(_) => Ok(None),
    }
}

const WRITERS_OF_EVENTS: &str = "SELECT virtualtransaction FROM pg_locks \
     WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' AND granted \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND relation = 'events'::regclass";

/// Puts `FOR UPDATE` behind a query on PostgreSQL. SQLite has one writer: there
/// whoever is in a transaction holds every lock.
pub(crate) trait Locked: Sized {
    /// Waits for the lock.
    fn locked(self) -> Lock<Self> {
        Lock {
            query: self,
            skip: false,
        }
    }

    /// Passes over rows that others hold.
    fn locked_unless_held(self) -> Lock<Self> {
        Lock {
            query: self,
            skip: true,
        }
    }
}

impl<Q: Query> Locked for Q {}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Lock<Q> {
    query: Q,
    skip: bool,
}

impl<Q: QueryId> QueryId for Lock<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Lock<Q> {
    type SqlType = Q::SqlType;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Lock<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(if self.skip {
            " FOR UPDATE SKIP LOCKED"
        } else {
            " FOR UPDATE"
        });
        Ok(())
    }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Lock<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.query.walk_ast(out)
    }
}

/// Has PostgreSQL prepare a statement once a connection. diesel takes it that
/// the text of an UPDATE varies, and prepares it anew at each call, which is a
/// trip more. Only for statements whose text never varies there.
pub(crate) trait Cacheable: Sized {
    fn cached(self) -> Cached<Self> {
        Cached(self)
    }
}

impl<Q> Cacheable for Q {}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cached<Q>(Q);

impl<Q> QueryId for Cached<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

/// As it is: here a list of ids is part of the text.
impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }
}

/// Inserts several rows: as one statement on PostgreSQL, one by one on SQLite,
/// where a batch does not go through diesel-async (and where a statement costs
/// no round trip).
macro_rules! insert_all {
    ($conn:expr, $table:path, $rows:expr) => {
        match $conn {
            $crate::connection::Connection::Pg(object) => {
                let rows = diesel::insert_into($table).values($rows);
                $crate::faults::exposed!(rows.execute(&mut **object).await)
            }
            conn => {
                let mut inserted = 0;
                for row in $rows {
                    inserted += $crate::connection::with_conn!(&mut *conn, |c| {
                        diesel::insert_into($table).values(row).execute(c)
                    })?;
                }
                Ok(inserted)
            }
        }
    };
}
pub(crate) use insert_all;

/// The columns of a row, for a backend that is named: see [`with_conn`].
///
/// [`with_conn`]: crate::connection::with_conn
pub(crate) fn selected<Row: Selectable<DB>, DB: Backend>() -> AsSelect<Row, DB> {
    Row::as_select()
}
