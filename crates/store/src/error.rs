//! Errors, by what a caller can do about them: retry, correct the call, or report a fault.

use diesel::result::Error as DieselError;
use thiserror::Error;
use viridian_engine::{EngineError, OpenError, WriteFault};
use viridian_strategy::{DeploymentId, QuotaViolation, RevisionId};

use crate::record::NamedRevision;

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
        actual: Option<NamedRevision>,
    },
}

/// Why an activation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateRefusal {
    /// By the rules.
    Rules(viridian_strategy::verbs::ActivateRejection),
    /// This one is being deployed.
    InProgress(NamedRevision),
    /// The deployment has no such revision.
    NoRevision(RevisionId),
}

/// Why a canary was not advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvanceRefusal {
    /// By the rules.
    Rules(viridian_strategy::verbs::AdvanceRejection),
    /// Another revision is being deployed than the caller expected.
    Revision {
        /// What the caller expected.
        expected: RevisionId,
        /// What it is.
        actual: NamedRevision,
    },
    /// The canary is at another step than the caller expected.
    Step {
        /// What the caller expected.
        expected: u32,
        /// What it is.
        actual: u32,
    },
}

/// Why an abort was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortRefusal {
    /// By the rules.
    Rules(viridian_strategy::verbs::AbortRejection),
    /// Another revision is being deployed than the caller expected.
    Revision {
        /// What the caller expected.
        expected: RevisionId,
        /// What it is.
        actual: NamedRevision,
    },
}

/// Why a roll-back was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBackRefusal {
    /// By the rules, which are those of an activation.
    Rules(viridian_strategy::verbs::ActivateRejection),
    /// This one is being deployed.
    InProgress(NamedRevision),
    /// The deployment has no such revision.
    NoRevision(RevisionId),
    /// The rollout, which is to be given up, is on its way back.
    GiveUp(viridian_strategy::verbs::AbortRejection),
    /// Of a set, whose roll-backs are instant: not enough of its routes are retained, or it goes
    /// back step by step.
    NotInstant,
    /// No revision was named, and none served before the current one.
    NoPrevious,
    /// No revision was named, and the last rollout was given up: what was good serves.
    AlreadyRolledBack {
        /// The number of the revision that was given up.
        left: Option<i64>,
        /// The number of the revision that serves.
        current: Option<i64>,
    },
    /// Another revision serves than the caller expected.
    Revision {
        /// What the caller expected.
        expected: RevisionId,
        /// What it is.
        actual: Option<NamedRevision>,
    },
}

/// Why an update was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateRefusal<E> {
    /// By the rules.
    Rules(viridian_strategy::verbs::UpdateRejection),
    /// By the change, which does not fit the present spec.
    Spec(E),
}

/// Why an apply was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApplyRefusal<C> {
    /// The settings cannot change so.
    Update(UpdateRefusal<C>),
    /// The revision cannot be deployed.
    Activate(viridian_strategy::verbs::ActivateRejection),
    /// This one is being deployed.
    InProgress(NamedRevision),
    /// There is no such deployment, and it may not be created.
    Missing,
}

/// Why a creation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreateRefusal {
    /// The project has a live deployment of that name.
    NameTaken,
}

/// Why the database did not do what it was asked.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// It cannot be reached, and may be back later.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
    /// It answers, and cannot be written. Nothing was, or nothing that will be kept.
    #[error(transparent)]
    Unwritable(WriteFault),
    /// No connection was free in time.
    #[error("all connections to the database are in use")]
    PoolTimeout,
    /// Another transaction held the deployment for too long. A retry may help at once.
    #[error("another transaction holds the deployment")]
    LockTimeout,
    /// The database's clock was set, and the time that decides is not corrected yet. A retry
    /// may help at once.
    #[error("the clock of the database was set")]
    ClockSet,
    /// A statement took too long, and its transaction was rolled back. A retry may help
    /// later.
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
    /// A quota of the project refuses it. Nothing was written.
    #[error(transparent)]
    OverQuota(QuotaExcess),
    /// A row cannot be read.
    #[error("deployment {id} cannot be read: {why}")]
    Corrupt {
        /// Which.
        id: DeploymentId,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Anything else: a bug, or a damaged database.
    #[error("the database failed: {0}")]
    Internal(String),
}

/// A change that a quota refuses.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the quota of project {project} does not allow it")]
pub struct QuotaExcess {
    /// The project.
    pub project: String,
    /// At least one.
    pub violations: Vec<QuotaViolation>,
}

impl StoreError {
    /// Returns whether every unit would fail in the same way now.
    pub(crate) fn is_of_database(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unwritable(_))
    }

    /// Returns whether some rows may be at fault: without them the same would succeed.
    pub fn is_of_rows(&self) -> bool {
        match self {
            // A statement over many rows may time out because of one, and a violated constraint is
            // Internal.
            Self::TimedOut | Self::Conflict { .. } | Self::Corrupt { .. } | Self::Internal(_) => {
                true
            }
            Self::Unavailable(_)
            | Self::Unwritable(_)
            | Self::PoolTimeout
            | Self::LockTimeout
            | Self::ClockSet
            | Self::OverQuota(_) => false,
        }
    }
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

impl From<EngineError> for CheckError {
    fn from(error: EngineError) -> Self {
        Self::Store(error.into())
    }
}

impl From<EngineError> for CopyError {
    fn from(error: EngineError) -> Self {
        Self::Store(error.into())
    }
}

impl From<CheckError> for CopyError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Open(error) => Self::Open(error),
            CheckError::Store(error) => Self::Store(error),
        }
    }
}

impl From<EngineError> for StoreError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Unavailable(why) => Self::Unavailable(why),
            EngineError::Unwritable(fault) => Self::Unwritable(fault),
            EngineError::PoolTimeout => Self::PoolTimeout,
            EngineError::LockTimeout => Self::LockTimeout,
            EngineError::TimedOut => Self::TimedOut,
            EngineError::Conflict {
                what,
                expected,
                found,
            } => Self::Conflict {
                what,
                expected,
                found,
            },
            EngineError::Internal(why) => Self::Internal(why),
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        EngineError::from(error).into()
    }
}
