//! One round trip to the database, with several statements in it, and the time.

use std::{
    sync::LazyLock,
    time::{Instant as MonotonicInstant, SystemTime, UNIX_EPOCH},
};

use diesel::{
    QueryResult,
    deserialize::{self, FromSql, Queryable},
    pg::{Pg, PgValue},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::{
    connection::{AsEngine, EngineConnection},
    error::EngineError,
    sql_types::Instant,
    with_timeout,
};

/// A point in time: microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMicros(pub i64);

/// Returns the time on SQLite, which has no clock of its own.
pub type Clock = fn() -> UnixMicros;

/// Returns this process's time: that of the machine when it was first asked for, and what has
/// passed since then.
///
/// Someone may set the machine's clock at any time. A wait must neither end early nor last
/// longer by that, so the machine's clock is read once.
pub fn process_clock() -> UnixMicros {
    static START: LazyLock<(UnixMicros, MonotonicInstant)> =
        LazyLock::new(|| (system_clock(), MonotonicInstant::now()));
    let (UnixMicros(start), since) = *START;
    let passed = i64::try_from(since.elapsed().as_micros()).unwrap_or(i64::MAX);
    UnixMicros(start.saturating_add(passed))
}

/// Returns the machine's time, which may be set back or forward.
pub fn system_clock() -> UnixMicros {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMicros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

impl FromSql<Instant, Pg> for UnixMicros {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = i64::from_be_bytes(value.as_bytes().try_into()?);
        Ok(Self(micros.saturating_add(POSTGRES_EPOCH)))
    }
}

impl Queryable<Instant, Pg> for UnixMicros {
    type Row = Self;

    fn build(row: Self) -> deserialize::Result<Self> {
        Ok(row)
    }
}

/// Where the time that decides comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimeSource {
    /// On SQLite.
    pub(crate) clock: Clock,
    /// The query for it on PostgreSQL.
    pub(crate) query: &'static str,
}

/// What goes with the queries of one round trip.
#[derive(Clone, Copy, Debug)]
pub struct RoundTrip {
    /// Whether a transaction begins with it.
    pub(crate) begin: bool,
    pub(crate) time: TimeSource,
}

impl RoundTrip {
    /// One without a transaction.
    pub(crate) fn to_read(time: TimeSource) -> Self {
        Self { begin: false, time }
    }

    /// Returns the time on SQLite.
    #[doc(hidden)]
    pub fn clock_time(&self) -> UnixMicros {
        (self.time.clock)()
    }
}

/// Returns the time that decides: the database's, or on SQLite the clock's.
///
/// # Errors
///
/// When the database does not answer.
pub async fn now(
    connection: &mut impl AsEngine,
    round_trip: RoundTrip,
) -> Result<UnixMicros, EngineError> {
    match connection.as_engine() {
        EngineConnection::Pg(pg) => {
            let ((), now) = with_timeout!(pg, |lent| {
                let shared = &*lent;
                // Polled in this order, so that BEGIN is sent first.
                async move { futures::try_join!(begin(shared, round_trip), ask(shared, round_trip)) }
            })?;
            Ok(now)
        }
        EngineConnection::SqliteReader(_) | EngineConnection::SqliteWriter(_) => {
            Ok(round_trip.clock_time())
        }
    }
}

/// Loads the rows of several queries in one round trip, and then asks for the time:
/// `pipeline!(self, round_trip, query, …)`.
///
/// No query may need what another one returns. PostgreSQL gets them together and runs them
/// in order, so that each sees what those before it did. SQLite has no round trips. As in
/// [`load!`](crate::load), `Db` is the backend.
#[macro_export]
macro_rules! pipeline {
    ($conn:expr, $round_trip:expr, $($query:expr),+ $(,)?) => {
        match $crate::AsEngine::as_engine($conn) {
            $crate::EngineConnection::Pg(pg) => {
                type Db = diesel::pg::Pg;
                let _ = std::marker::PhantomData::<Db>;
                let round_trip = $round_trip;
                $crate::with_timeout!(pg, |lent| {
                    let shared = &*lent;
                    // Each statement gets its place on the connection when it is first
                    // polled, and `join!` polls in this order.
                    async move {
                        let (begun, given) = futures::join!(
                            $crate::begin(shared, round_trip),
                            async {
                                futures::join!(
                                    $(async {
                                        let mut shared = shared;
                                        diesel_async::RunQueryDsl::load($query, &mut shared).await
                                    },)+
                                    $crate::ask(shared, round_trip),
                                )
                            },
                        );
                        begun.and($crate::FirstFailure::of(given))
                    }
                })
            }
            conn => {
                let all = async {
                    Ok(($($crate::load!(&mut *conn, $query)?,)+
                        $round_trip.clock_time()))
                };
                all.await
            }
        }
    };
}

/// The results of several statements, or the first failure. A later statement fails only
/// because the transaction has failed already, and its answer may be polled first.
#[doc(hidden)]
pub trait FirstFailure {
    /// All results.
    type Results;

    /// Returns all results, or the first failure.
    ///
    /// # Errors
    ///
    /// The first failure.
    fn of(self) -> QueryResult<Self::Results>;
}

impl<A, B> FirstFailure for (QueryResult<A>, QueryResult<B>) {
    type Results = (A, B);

    fn of(self) -> QueryResult<(A, B)> {
        Ok((self.0?, self.1?))
    }
}

impl<A, B, C> FirstFailure for (QueryResult<A>, QueryResult<B>, QueryResult<C>) {
    type Results = (A, B, C);

    fn of(self) -> QueryResult<(A, B, C)> {
        Ok((self.0?, self.1?, self.2?))
    }
}

/// Begins a transaction, if this round trip has to.
#[doc(hidden)]
pub async fn begin(mut connection: &AsyncPgConnection, round_trip: RoundTrip) -> QueryResult<()> {
    if round_trip.begin {
        Command("BEGIN").execute(&mut connection).await?;
    }
    Ok(())
}

/// Commits. After a failure in the transaction this rolls back, and is no failure itself.
pub(crate) async fn commit(mut connection: &AsyncPgConnection) -> QueryResult<()> {
    Command("COMMIT").execute(&mut connection).await?;
    Ok(())
}

/// Asks PostgreSQL for the time.
#[doc(hidden)]
pub async fn ask(
    mut connection: &AsyncPgConnection,
    round_trip: RoundTrip,
) -> QueryResult<UnixMicros> {
    TimeQuery(round_trip.time.query)
        .get_result(&mut connection)
        .await
}

/// A query for one instant.
#[derive(Clone, Copy, Debug)]
struct TimeQuery(&'static str);

impl Query for TimeQuery {
    type SqlType = Instant;
}

// Cached by its text.
impl QueryId for TimeQuery {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for TimeQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.0);
        Ok(())
    }
}

/// A command that is sent as a query.
///
/// `batch_execute` takes another path: its COMMIT overtakes statements that are still
/// being prepared, and each of those would then commit by itself.
#[derive(Clone, Copy, Debug)]
struct Command(&'static str);

// BEGIN and COMMIT have one type, so they must be cached by their text.
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

/// PostgreSQL counts from the year 2000.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;
