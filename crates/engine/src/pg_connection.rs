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
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use crate::{
    connection_slots::ConnectionSlot,
    error::EngineError,
    write_fault::{LastWriteFault, WriteFault},
};

/// One of the pool's connections. A statement that timed out, or that its caller gave up,
/// goes on: then the connection is closed instead of being returned, or its next user would
/// wait for that statement.
pub struct PgConnection {
    /// None only while it is being closed.
    object: Option<Object<AsyncPgConnection>>,
    /// Whether something was sent that is not answered.
    lent: bool,
    sessions: SessionWatch,
    /// The place of the next caller. Given up after the connection is returned.
    _slot: OwnedSemaphorePermit,
}

impl PgConnection {
    pub(crate) fn new(
        object: Object<AsyncPgConnection>,
        slot: ConnectionSlot,
        sessions: SessionWatch,
    ) -> Self {
        Self {
            object: Some(object),
            lent: false,
            sessions,
            _slot: slot.into_permit(),
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
        Some((object, self.sessions.timeout))
    }

    /// Notes the answer of the round trip.
    #[doc(hidden)]
    pub fn take_back<T>(&mut self, answer: &QueryResult<T>) {
        match answer {
            Ok(_) => {
                self.lent = false;
                self.sessions.record();
            }
            // It stays lent: after a timeout the statement may still run, and would delay the next
            // user.
            Err(DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _)) => {}
            Err(error) => {
                self.lent = false;
                if let Some(fault) = WriteFault::of(error) {
                    self.note_fault(fault);
                }
            }
        }
    }

    /// Notes how statements ended whose COMMIT was answered.
    pub(crate) fn note(&mut self, written: &Result<(), EngineError>) {
        if let Err(EngineError::Unwritable(fault)) = written {
            self.note_fault(fault.clone());
        }
    }

    fn note_fault(&mut self, fault: WriteFault) {
        match fault {
            // It is not used again: its server is not the one which takes writes.
            WriteFault::ReadOnly => {
                self.lent = true;
                self.sessions.outdate();
            }
            fault => self.sessions.faults.set(Some(fault)),
        }
    }

    pub(crate) fn close(mut self) {
        self.lent = true;
    }
}

impl Drop for PgConnection {
    fn drop(&mut self) {
        // Here, and not with the other fields: the next caller's place is free after it.
        if let Some(object) = self.object.take()
            && self.lent
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

/// What all sessions have in common: how long answers are waited for, when the last one came,
/// and whether the server takes writes.
#[derive(Clone)]
pub(crate) struct SessionWatch {
    pub(crate) faults: LastWriteFault,
    timeout: Duration,
    begun: Instant,
    /// In milliseconds from the beginning.
    last: Arc<AtomicU64>,
    /// Sessions from before this time are not used again. In microseconds from the beginning.
    outdated: Arc<AtomicU64>,
}

impl SessionWatch {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            faults: LastWriteFault::default(),
            timeout,
            begun: Instant::now(),
            last: Arc::default(),
            outdated: Arc::default(),
        }
    }

    /// Has no present session used again: their server takes no writes any more. Others may be
    /// of another server, which does.
    fn outdate(&self) {
        self.faults.set(Some(WriteFault::ReadOnly));
        let now = self.begun.elapsed().as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.outdated.fetch_max(now, Ordering::Relaxed);
    }

    pub(crate) fn is_outdated(&self, object: &Object<AsyncPgConnection>) -> bool {
        let outdated = Duration::from_micros(self.outdated.load(Ordering::Relaxed));
        let created = Object::metrics(object).created;
        !outdated.is_zero() && created.saturating_duration_since(self.begun) <= outdated
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
