//! How a database fails, by what its caller can do about it.

use diesel::{
    ConnectionError,
    result::{DatabaseErrorKind, Error as DieselError},
};
use diesel_async::pooled_connection::{PoolError, deadpool};
use thiserror::Error;

use crate::write_fault::WriteFault;

/// Why the database did not do what it was asked.
#[derive(Clone, Debug, Error)]
pub enum EngineError {
    /// It cannot be reached, and may be back later.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// It answers, and cannot be written. Nothing was, or nothing that will be kept.
    #[error(transparent)]
    Unwritable(#[from] WriteFault),
    /// No connection was free in time.
    #[error("all connections to the database are in use")]
    PoolTimeout,
    /// Another transaction held a lock for too long. A retry may help at once.
    #[error("another transaction holds the lock")]
    LockTimeout,
    /// A statement took too long, and its transaction was rolled back. A retry may help later.
    #[error("the database took too long")]
    TimedOut,
    /// A row is not what it was when the decision was made.
    #[error("{what}: expected {expected} rows, found {found}")]
    Conflict {
        /// The statement.
        what: &'static str,
        /// How many rows it should change.
        expected: usize,
        /// How many rows it changed.
        found: usize,
    },
    /// Anything else: a bug, or a damaged database.
    #[error("the database failed: {0}")]
    Internal(String),
}

/// Why a database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL cannot work.
    #[error("database URL: {0}")]
    Url(String),
    /// The file cannot be used.
    #[error("database file {path}: {why}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// It answers, but a server on it would lose or break something.
    #[error("the database cannot be used: {0}")]
    Unsuitable(String),
    /// The database does not answer.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The schema could not be migrated.
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(String),
    /// The schema is newer than this program, or lacks something and is only to be read.
    #[error("the database's schema is not the one that this program knows: {0}")]
    Schema(String),
}

impl From<DieselError> for EngineError {
    fn from(error: DieselError) -> Self {
        if let Some(fault) = WriteFault::of(&error) {
            return Self::Unwritable(fault);
        }
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info) => {
                Self::Unavailable(info.message().to_owned())
            }
            // As after a wait for a lock, the same may succeed if it is repeated at once.
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => {
                Self::LockTimeout
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::Unknown | DatabaseErrorKind::UnableToSendCommand,
                info,
            ) => classify(info.message()).unwrap_or_else(|| Self::Internal(error.to_string())),
            _ => Self::Internal(error.to_string()),
        }
    }
}

/// Classifies errors that have no kind of their own. Only their text is left, since diesel
/// passes no SQLSTATE on. PostgreSQL's text is English where a session may set that.
fn classify(message: &str) -> Option<EngineError> {
    const LOCKED: [&str; 4] = [
        "lock timeout",
        "deadlock detected",
        "database is locked",
        "database is busy",
    ];
    const UNAVAILABLE: [&str; 6] = [
        "terminating connection",
        "connection closed",
        // … starting up, shutting down, in recovery mode.
        "the database system is",
        "server closed the connection",
        "Connection refused",
        "error communicating with the server",
    ];
    const TIMED_OUT: &str = "statement timeout";
    if LOCKED.iter().any(|words| message.contains(words)) {
        Some(EngineError::LockTimeout)
    } else if message.contains(TIMED_OUT) {
        Some(EngineError::TimedOut)
    } else if UNAVAILABLE.iter().any(|words| message.contains(words)) {
        Some(EngineError::Unavailable(message.to_owned()))
    } else {
        None
    }
}

impl From<deadpool::PoolError> for EngineError {
    fn from(error: deadpool::PoolError) -> Self {
        match error {
            deadpool::PoolError::Timeout(_) => Self::PoolTimeout,
            deadpool::PoolError::Backend(PoolError::QueryError(error)) => Self::from(error),
            deadpool::PoolError::Backend(PoolError::ConnectionError(
                ConnectionError::BadConnection(why),
            )) => match WriteFault::of_message(&why) {
                Some(fault) => Self::Unwritable(fault),
                None => Self::Unavailable(why),
            },
            error => Self::Unavailable(error.to_string()),
        }
    }
}
