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
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use viridian_strategy::Timestamp;

use crate::{
    connection::{Connection, load, with_timeout},
    error::StoreError,
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
    round_trip: RoundTrip,
) -> Result<Timestamp, StoreError> {
    match connection {
        Connection::Pg(pg) => {
            let ((), now) = with_timeout!(pg, |lent| {
                let shared = &*lent;
                async move { futures::try_join!(begin(shared, round_trip), ask(shared)) }
            })?;
            Ok(now)
        }
        Connection::SqliteReader(_) | Connection::SqliteWriter(_) => Ok((round_trip.clock)()),
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
struct EventWriter {
    #[diesel(sql_type = diesel::sql_types::Text)]
    virtualtransaction: String,
}

/// The transactions that write events and are not over. None where nobody can be
/// seen to.
pub(crate) async fn writers_of_events(
    connection: &mut Connection,
) -> Result<Option<BTreeSet<String>>, StoreError> {
    match connection {
        Connection::Pg(_) => {
            let query = diesel::sql_query(WRITERS_OF_EVENTS);
            let writers: Vec<EventWriter> = load!(connection, query.clone())?;
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
pub(crate) trait ForUpdate: Sized {
    fn lock_rows(self, wait: LockWait) -> ForUpdateQuery<Self> {
        ForUpdateQuery { query: self, wait }
    }
}

impl<Q: Query> ForUpdate for Q {}

/// What is done about rows that others hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockWait {
    /// They are waited for, as long as the session's `lock_timeout` allows.
    ForAll,
    /// They are passed over.
    Never,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ForUpdateQuery<Q> {
    query: Q,
    wait: LockWait,
}

impl<Q: QueryId> QueryId for ForUpdateQuery<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for ForUpdateQuery<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> diesel::RunQueryDsl<C> for ForUpdateQuery<Q> {}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for ForUpdateQuery<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(match self.wait {
            LockWait::ForAll => " FOR UPDATE",
            LockWait::Never => " FOR UPDATE SKIP LOCKED",
        });
        Ok(())
    }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for ForUpdateQuery<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.query.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, backend: &Sqlite) -> QueryResult<bool> {
        self.query.is_safe_to_cache_prepared(backend)
    }
}

/// Has a statement prepared once a connection. diesel takes it that the text of
/// some statements varies, and prepares those anew at each call, which is a round trip
/// more on PostgreSQL. Only for statements whose text never varies there, and
/// whose lists have [`pad_to_power_of_two`].
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

impl<Q: Query> Query for Cached<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> diesel::RunQueryDsl<C> for Cached<Q> {}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }
}

/// A list with its last value repeated until its length is a power of two. On
/// SQLite a list is part of the text of a statement, so this makes few statements of
/// many; which rows they are about it does not change.
pub(crate) fn pad_to_power_of_two<T: Clone>(mut list: Vec<T>) -> Vec<T> {
    if let Some(last) = list.last().cloned() {
        list.resize(list.len().next_power_of_two(), last);
    }
    list
}

/// A command that goes the way of queries: what goes by another overtakes those
/// that are still being prepared.
#[derive(Clone, Copy, Debug)]
struct Command(&'static str);

impl QueryId for Command {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Command {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

/// What goes with the queries of one round trip.
#[derive(Clone, Copy)]
pub(crate) struct RoundTrip {
    /// Whether a transaction begins with it.
    pub(crate) begin: bool,
    pub(crate) clock: Clock,
}

impl RoundTrip {
    /// Without a transaction.
    pub(crate) fn to_read(clock: Clock) -> Self {
        Self {
            begin: false,
            clock,
        }
    }
}

/// Loads the rows of queries of which none needs what another gives, in their order,
/// and then asks for the time: `pipeline!(self, round_trip, query, …)`. On PostgreSQL they
/// are sent together, and each sees what those before it did; SQLite has no trips. As
/// in [`load`], `Db` is the backend.
///
/// [`load`]: crate::connection::load
macro_rules! pipeline {
    ($conn:expr, $round_trip:expr, $($query:expr),+ $(,)?) => {
        match $conn {
            $crate::connection::Connection::Pg(pg) => {
                type Db = diesel::pg::Pg;
                let _ = std::marker::PhantomData::<Db>;
                let round_trip = $round_trip;
                $crate::connection::with_timeout!(pg, |lent| {
                    let shared = &*lent;
                    // In this order: each gets in line for the connection when it is
                    // polled.
                    async move {
                        let (begun, given) = futures::join!(
                            $crate::dialect::begin(shared, round_trip),
                            async {
                                futures::join!(
                                    $(async {
                                        let mut shared = shared;
                                        diesel_async::RunQueryDsl::load($query, &mut shared).await
                                    },)+
                                    $crate::dialect::ask(shared),
                                )
                            },
                        );
                        begun.and($crate::dialect::FirstFailure::of(given))
                    }
                })
            }
            conn => {
                let all = async {
                    Ok(($($crate::connection::load!(&mut *conn, $query)?,)+
                        ($round_trip.clock)()))
                };
                all.await
            }
        }
    };
}
pub(crate) use pipeline;

/// What several statements gave, or how the first of them failed that did. Those
/// behind it fail only since the transaction has, and may be heard of before it.
pub(crate) trait FirstFailure {
    type Given;

    fn of(self) -> QueryResult<Self::Given>;
}

impl<A, B> FirstFailure for (QueryResult<A>, QueryResult<B>) {
    type Given = (A, B);

    fn of(self) -> QueryResult<(A, B)> {
        Ok((self.0?, self.1?))
    }
}

impl<A, B, C> FirstFailure for (QueryResult<A>, QueryResult<B>, QueryResult<C>) {
    type Given = (A, B, C);

    fn of(self) -> QueryResult<(A, B, C)> {
        Ok((self.0?, self.1?, self.2?))
    }
}

/// Begins a transaction, if the round trip is to.
pub(crate) async fn begin(
    mut connection: &AsyncPgConnection,
    round_trip: RoundTrip,
) -> QueryResult<()> {
    if round_trip.begin {
        Command("BEGIN").execute(&mut connection).await?;
    }
    Ok(())
}

/// Commits. Where the transaction has failed already, this rolls it back and is
/// no failure.
pub(crate) async fn commit(mut connection: &AsyncPgConnection) -> QueryResult<()> {
    Command("COMMIT").execute(&mut connection).await?;
    Ok(())
}

/// Asks PostgreSQL for the time.
pub(crate) async fn ask(mut connection: &AsyncPgConnection) -> QueryResult<Timestamp> {
    let now = diesel::select(clock_timestamp());
    let Sql(now) = now.get_result(&mut connection).await?;
    Ok(now)
}

/// The columns of a row, for a backend that is named: see [`load`].
///
/// [`load`]: crate::connection::load
pub(crate) fn selected<Row: Selectable<DB>, DB: Backend>() -> AsSelect<Row, DB> {
    Row::as_select()
}

#[cfg(test)]
mod tests {
    use super::pad_to_power_of_two;

    #[test]
    fn lists_have_few_lengths_and_the_same_values() {
        assert!(pad_to_power_of_two(Vec::<u8>::new()).is_empty());
        assert_eq!(pad_to_power_of_two(vec![7]), [7]);
        assert_eq!(pad_to_power_of_two(vec![1, 2, 3]), [1, 2, 3, 3]);
        assert_eq!(pad_to_power_of_two((0..200).collect()).len(), 256);
    }
}
