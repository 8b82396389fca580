//! A connection to PostgreSQL that is not waited for without end.
//!
//! PostgreSQL ends what takes longer than its timeouts allow, and TCP notices a
//! machine that is gone. Neither helps where a server takes all that it is sent and
//! answers nothing, be it that it stands still or that its disk does. So whatever is
//! sent is waited for here too, for longer than PostgreSQL would let it take.

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

/// One of the pool's. What is not answered in time, or given up by its caller, goes
/// on: then the connection is closed instead of being given back, or the next one
/// would wait behind it.
pub(crate) struct PgConnection {
    /// None only while it is being closed.
    object: Option<Object<AsyncPgConnection>>,
    /// Whether something was sent that is not answered.
    lent: bool,
    answers: ResponseClock,
}

impl PgConnection {
    pub(crate) fn new(object: Object<AsyncPgConnection>, answers: ResponseClock) -> Self {
        Self {
            object: Some(object),
            lent: false,
            answers,
        }
    }

    /// For one round_trip, with how long its answer is waited for. None when there was no
    /// answer to the one before.
    pub(crate) fn lend(&mut self) -> Option<(&mut AsyncPgConnection, Duration)> {
        if std::mem::replace(&mut self.lent, true) {
            return None;
        }
        let object = self.object.as_deref_mut()?;
        Some((object, self.answers.timeout))
    }

    /// The round trip is over.
    pub(crate) fn take_back<T>(&mut self, answer: &QueryResult<T>) {
        match answer {
            Ok(_) => {
                self.lent = false;
                self.answers.note();
            }
            Err(DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) => {}
            Err(_) => self.lent = false,
        }
    }

    pub(super) fn close(mut self) {
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

/// Makes one round_trip, `with_timeout!(pg, |lent| future)`, with a point for faults before and
/// behind it.
macro_rules! with_timeout {
    ($pg:expr, |$lent:ident| $sent:expr) => {
        match $pg.lend() {
            Some(($lent, timeout)) => {
                let answer = $crate::fail_points::fail_point!({
                    let sent = std::pin::pin!($sent);
                    $crate::connection::answered(timeout, sent).await
                });
                $pg.take_back(&answer);
                answer
            }
            None => Err($crate::connection::unanswered()),
        }
    };
}
pub(crate) use with_timeout;

/// Waits for the answer to what is sent, and for no longer than this.
pub(crate) async fn answered<T>(
    at_most: Duration,
    sent: Pin<&mut impl Future<Output = QueryResult<T>>>,
) -> QueryResult<T> {
    let answer = timeout(at_most, sent).await;
    answer.unwrap_or_else(|_| Err(unanswered()))
}

/// That a connection does not answer.
pub(crate) fn unanswered() -> DieselError {
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
    pub(crate) fn within(timeout: Duration) -> Self {
        Self {
            timeout,
            begun: Instant::now(),
            last: Arc::default(),
        }
    }

    /// For how long there was none.
    pub(crate) fn unanswered_for(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last)
    }

    fn note(&self) {
        let now = self.begun.elapsed().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.last.fetch_max(now, Ordering::Relaxed);
    }
}
