//! What can go wrong, so that "retry may help", "refused" and "broken" can be
//! told apart by type.

use diesel::{
    ConnectionError,
    result::{DatabaseErrorKind, Error as DieselError},
};
use diesel_async::pooled_connection::{PoolError, deadpool};
use thiserror::Error;
use viridian_strategy::{DeploymentId, RevisionId};

/// Why a unit of work did not happen. `R` is what its own rules refuse.
#[derive(Debug, Error)]
pub enum UnitError<R> {
    /// There is no such deployment.
    #[error("no deployment {0}")]
    NoDeployment(DeploymentId),
    /// The caller had seen another generation.
    #[error("the deployment has generation {actual}, not {expected}")]
    Generation {
        /// What the caller had seen.
        expected: i64,
        /// What it is.
        actual: i64,
    },
    /// The request id came with another body before.
    #[error("the request id was used for another request")]
    RequestIdReused,
    /// The rules of the call refuse it.
    #[error("refused")]
    Refused(R),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<R> UnitError<R> {
    /// The same, with another refusal.
    pub fn map_refusal<S>(self, map: impl FnOnce(R) -> S) -> UnitError<S> {
        match self {
            Self::NoDeployment(id) => UnitError::NoDeployment(id),
            Self::Generation { expected, actual } => UnitError::Generation { expected, actual },
            Self::RequestIdReused => UnitError::RequestIdReused,
            Self::Refused(refusal) => UnitError::Refused(map(refusal)),
            Self::Store(error) => UnitError::Store(error),
        }
    }
}

/// Why a promotion was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromoteRefusal {
    /// By the rules.
    Rules(viridian_strategy::verbs::PromoteRejection),
    /// Another revision is being deployed than the caller expected.
    Revision {
        /// What the caller expected.
        expected: RevisionId,
        /// What it is.
        actual: Option<RevisionId>,
    },
}

/// Why an activation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateRefusal {
    /// By the rules.
    Rules(viridian_strategy::verbs::ActivateRejection),
    /// The deployment has no such revision.
    NoRevision(RevisionId),
}

/// Why a roll-back was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBackRefusal {
    /// By the rules, which are those of an activation.
    Rules(viridian_strategy::verbs::ActivateRejection),
    /// The deployment has no such revision.
    NoRevision(RevisionId),
    /// No revision was named, and there is none before the current one.
    NoPrevious,
}

/// Why an update was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateRefusal<E> {
    /// By the rules.
    Rules(viridian_strategy::verbs::UpdateRejection),
    /// By the change, which does not fit the present spec.
    Spec(E),
}

/// Why a creation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateRefusal {
    /// The project has a live deployment of that name.
    NameTaken,
}

/// Why the database did not do what it was asked to.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// It cannot be reached; it may be back later.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// No connection was free in time.
    #[error("all connections to the database are in use")]
    PoolTimeout,
    /// Another transaction held the deployment for too long; at once again may
    /// help.
    #[error("another transaction holds the deployment")]
    LockTimeout,
    /// A statement took too long and was ended, with all that its transaction
    /// did; later again may help.
    #[error("the database took too long")]
    TimedOut,
    /// A row is not what it was when the decision was made.
    #[error("{what}: expected {expected} rows, found {found}")]
    Conflict {
        /// The statement.
        what: &'static str,
        /// How many rows it was to change.
        expected: usize,
        /// How many it did.
        found: usize,
    },
    /// A row cannot be understood.
    #[error("deployment {id} cannot be read: {why}")]
    Corrupt {
        /// Which.
        id: DeploymentId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Anything else: a bug, or a broken database.
    #[error("the database failed: {0}")]
    Internal(String),
}

impl StoreError {
    /// Whether it may be the fault of some rows, and the same without them would
    /// succeed: the database as a whole has not failed.
    pub fn is_of_rows(&self) -> bool {
        match self {
            Self::TimedOut | Self::Conflict { .. } | Self::Corrupt { .. } | Self::Internal(_) => {
                true
            }
            Self::Unavailable(_) | Self::PoolTimeout | Self::LockTimeout => false,
        }
    }
}

/// Why a database cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The URL is not one that can work.
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
    /// The database does not answer.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// The schema could not be brought up to date.
    #[error("the database's schema could not be brought up to date: {0}")]
    Migration(String),
    /// Its schema is not the one that this program knows: it is newer, or it
    /// lacks something and is only to be read.
    #[error("the database's schema is not the one that this program knows: {0}")]
    Schema(String),
}

/// Why a database could not be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing was copied.
#[derive(Debug, Error)]
pub enum CopyError {
    /// It goes one way only.
    #[error("only a SQLite file can be copied, and only to PostgreSQL")]
    Engines,
    /// There is something already where it was to go.
    #[error("the database to copy to is not empty: there are rows in {0}")]
    NotEmpty(&'static str),
    /// One of the two cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// One of the two failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CheckError> for CopyError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Open(error) => Self::Open(error),
            CheckError::Store(error) => Self::Store(error),
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match &error {
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, info) => {
                Self::Unavailable(info.message().to_owned())
            }
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => {
                Self::LockTimeout
            }
            DieselError::DatabaseError(
                DatabaseErrorKind::Unknown | DatabaseErrorKind::UnableToSendCommand,
                info,
            ) => unknown(info.message()).unwrap_or_else(|| Self::Internal(error.to_string())),
            _ => Self::Internal(error.to_string()),
        }
    }
}

/// Sorts out what the engines report without a kind of its own: by their words,
/// since diesel passes no SQLSTATE on. PostgreSQL's are English where that is
/// up to us, see `session` in `database/postgres.rs`.
fn unknown(message: &str) -> Option<StoreError> {
    const HELD: [&str; 4] = [
        "lock timeout",
        "deadlock detected",
        "database is locked",
        "database is busy",
    ];
    const AWAY: [&str; 6] = [
        "terminating connection",
        "connection closed",
        "the database system is",
        "server closed the connection",
        "Connection refused",
        "error communicating with the server",
    ];
    const TIMED_OUT: &str = "statement timeout";
    if HELD.iter().any(|words| message.contains(words)) {
        Some(StoreError::LockTimeout)
    } else if message.contains(TIMED_OUT) {
        Some(StoreError::TimedOut)
    } else if AWAY.iter().any(|words| message.contains(words)) {
        Some(StoreError::Unavailable(message.to_owned()))
    } else {
        None
    }
}

impl From<deadpool::PoolError> for StoreError {
    fn from(error: deadpool::PoolError) -> Self {
        match error {
            deadpool::PoolError::Timeout(_) => Self::PoolTimeout,
            deadpool::PoolError::Backend(PoolError::QueryError(error)) => Self::from(error),
            deadpool::PoolError::Backend(PoolError::ConnectionError(
                ConnectionError::BadConnection(why),
            )) => Self::Unavailable(why),
            error => Self::Unavailable(error.to_string()),
        }
    }
}
