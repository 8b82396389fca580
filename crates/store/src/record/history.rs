//! History: what happened to a deployment, a row a move.

use viridian_strategy::{DeploymentId, LifecyclePhase, RevisionId, Timestamp};

use super::{CommitId, FieldChange, RequestId, Status};

/// Something that was recorded: a move, or what happened to routes.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Its number within the deployment, from 1, without gap.
    pub number: i64,
    /// What happened.
    pub phase: Operation,
    /// How it ended.
    pub outcome: HistoryOutcome,
    /// Where the deployment was; None at creation.
    pub from: Option<LifecyclePhase>,
    /// Where it was then.
    pub to: LifecyclePhase,
    /// The revision that it was about.
    pub revision: Option<RevisionId>,
    /// Who did it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The request id of the call.
    pub request: Option<RequestId>,
    /// The set of changes that it is one of.
    pub commit: Option<CommitId>,
    /// The routes after it, and why it did not go on.
    pub status: Status,
    /// The settings that it changed.
    pub changes: Vec<FieldChange>,
    /// How often it was seen: more than once only where it waited, or where the same
    /// happened to more routes.
    pub attempts: u32,
    /// What was done with routes.
    pub effects: RouteEffects,
    /// How many routes it is about; only of ROUTE_FAILED and ROUTE_REPLACED.
    pub count: u32,
    /// Why the first of those routes failed.
    pub failure: String,
    /// The share that a SHIFT asks for, in per mille.
    pub weight_permille: Option<u16>,
    /// When it happened first.
    pub created_at: Timestamp,
    /// When it was seen last.
    pub updated_at: Timestamp,
}

/// A move to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NewHistoryEntry {
    pub(crate) deployment: DeploymentId,
    pub(crate) number: i64,
    pub(crate) phase: Operation,
    pub(crate) outcome: HistoryOutcome,
    /// None at creation.
    pub(crate) from: Option<LifecyclePhase>,
    pub(crate) to: LifecyclePhase,
    pub(crate) revision: Option<RevisionId>,
    pub(crate) actor: String,
    pub(crate) reason: String,
    pub(crate) request: Option<RequestId>,
    pub(crate) commit: Option<CommitId>,
    pub(crate) status: Status,
    pub(crate) changes: Vec<FieldChange>,
    pub(crate) effects: RouteEffects,
    pub(crate) count: u32,
    pub(crate) failure: String,
    /// Of a SHIFT only.
    pub(crate) weight_permille: Option<u16>,
    pub(crate) at: Timestamp,
    /// Whether it is about routes that hung, which is a story of its own.
    pub(crate) hung: bool,
}

/// What an entry did with routes, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteEffects {
    /// Created.
    pub created: u32,
    /// Given traffic.
    pub promoted: u32,
    /// Taken out of traffic, or ended.
    pub drained: u32,
}

/// What happened to a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It was created.
    Create,
    /// A revision was activated.
    Activate,
    /// A cycle moved it.
    Evaluate,
    /// A revision was promoted.
    Promote,
    /// A revision took the share of a canary's step.
    Shift,
    /// The hold of a canary's step was ended by a call.
    Advance,
    /// It went back to its current revision, or to an earlier one.
    RollBack,
    /// Another number of routes or another policy was asked for.
    Update,
    /// A rollout was given up by a call.
    Abort,
    /// It was paused.
    Pause,
    /// Its pause was ended.
    Resume,
    /// New routes of the current revision were asked for.
    Restart,
    /// One of its routes was asked to be replaced.
    DrainRoute,
    /// It was destroyed.
    Delete,
    /// Routes failed.
    RouteFailed,
    /// Routes were created in place of others that failed or were taken away.
    RouteReplaced,
}

impl Operation {
    /// The name for programs: `ROLL_BACK`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Activate => "ACTIVATE",
            Self::Evaluate => "EVALUATE",
            Self::Promote => "PROMOTE",
            Self::Shift => "SHIFT",
            Self::Advance => "ADVANCE",
            Self::RollBack => "ROLL_BACK",
            Self::Update => "UPDATE",
            Self::Abort => "ABORT",
            Self::Pause => "PAUSE",
            Self::Resume => "RESUME",
            Self::Restart => "RESTART",
            Self::DrainRoute => "DRAIN_ROUTE",
            Self::Delete => "DELETE",
            Self::RouteFailed => "ROUTE_FAILED",
            Self::RouteReplaced => "ROUTE_REPLACED",
        }
    }
}

/// How a move ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryOutcome {
    /// It was done.
    Success,
    /// It waits for something.
    Waiting,
    /// It was given up.
    RolledBack,
    /// Something broke.
    Failed,
}

impl HistoryOutcome {
    /// The name for programs: `ROLLED_BACK`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Waiting => "WAITING",
            Self::RolledBack => "ROLLED_BACK",
            Self::Failed => "FAILED",
        }
    }
}
