//! A connection to PostgreSQL whose answers are not waited for without end.
//!
//! PostgreSQL ends statements that take longer than its timeouts, and TCP notices a
//! machine that is gone. Neither helps with a server that accepts everything and answers
//! nothing, because it or its disk stands still. So the client has a timeout too, which is
//! longer than any of PostgreSQL's own.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    QueryResult,
    result::{DatabaseErrorKind, Error as DieselError},
};
use diesel_async::{AsyncPgConnection, pooled_connection::deadpool::Object};
use tokio::time::timeout;

/// One of the pool's connections. A statement that timed out, or that its caller gave up,
/// goes on: then the connection is closed instead of being returned, or its next user would
/// wait for that statement.
pub struct PgConnection {
    /// None only while it is being closed.
    object: Option<Object<AsyncPgConnection>>,
    /// Whether something was sent that is not answered.
    lent: bool,
    clock: ResponseClock,
}

impl PgConnection {
    pub(crate) fn new(object: Object<AsyncPgConnection>, clock: ResponseClock) -> Self {
        Self {
            object: Some(object),
            lent: false,
            clock,
        }
    }

    /// Lends the connection for one round trip, with its timeout. None when the one before
    /// was not answered.
    #[doc(hidden)]
    pub fn lend(&mut self) -> Option<(&mut AsyncPgConnection, Duration)> {
        // Set before anything is sent. A cancelled caller leaves it set, and the connection is
        // closed.
        if std::mem::replace(&mut self.lent, true) {
            return None;
        }
        let object = self.object.as_deref_mut()?;
        Some((object, self.clock.timeout))
    }

    /// Notes the answer of the round trip.
    #[doc(hidden)]
    pub fn take_back<T>(&mut self, answer: &QueryResult<T>) {
        match answer {
            Ok(_) => {
                self.lent = false;
                self.clock.record();
            }
            // It stays lent: after a timeout the statement may still run, and would delay the next
            // user.
            Err(DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) => {}
            Err(_) => self.lent = false,
        }
    }

    pub(crate) fn close(mut self) {
        self.lent = true;
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        if self.lent
            && let Some(object) = self.object.take()
        {
            drop(Object::take(object));
        }
    }
}

/// Makes one round trip, `with_timeout!(pg, |lent| future)`, with a fail point before and
/// after it.
#[doc(hidden)]
#[macro_export]
macro_rules! with_timeout {
    ($pg:expr, |$lent:ident| $sent:expr) => {
        match $pg.lend() {
            Some(($lent, timeout)) => {
                let answer = $crate::fail_point!({
                    let sent = std::pin::pin!($sent);
                    $crate::within(timeout, sent).await
                });
                $pg.take_back(&answer);
                answer
            }
            None => Err($crate::unanswered()),
        }
    };
}

/// Waits for an answer until a timeout.
#[doc(hidden)]
pub async fn within<T>(
    at_most: Duration,
    sent: Pin<&mut impl Future<Output = QueryResult<T>>>,
) -> QueryResult<T> {
    let answer = timeout(at_most, sent).await;
    answer.unwrap_or_else(|_| Err(unanswered()))
}

/// Returns the error of a connection that does not answer.
#[doc(hidden)]
pub fn unanswered() -> DieselError {
    let why = "it does not answer".to_owned();
    DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(why))
}

/// How long answers are waited for, and when the last one came.
#[derive(Clone)]
pub(crate) struct ResponseClock {
    timeout: Duration,
    begun: Instant,
    /// In milliseconds from the beginning.
    last: Arc<AtomicU64>,
}

impl ResponseClock {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            begun: Instant::now(),
            last: Arc::default(),
        }
    }

    /// Returns how long ago the last answer came.
    pub(crate) fn unanswered_for(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }

    fn record(&self) {
        let now = self.begun.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        // Connections record in any order, and an earlier time must not replace a later one.
        self.last.fetch_max(now, Ordering::Relaxed);
    }
}
