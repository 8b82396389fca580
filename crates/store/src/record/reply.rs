//! Replies: what the calls return, and what a repeat of a request gets.

use viridian_strategy::RouteId;

use super::{CommitId, Deployment, FieldChange, Revision};

/// The result of a call that returns only the deployment.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The deployment after it.
    pub deployment: Deployment,
}

/// What an apply came to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The deployment after it.
    pub deployment: Deployment,
    /// The settings that changed.
    pub changes: Vec<FieldChange>,
    /// The revision that was wanted, new or not.
    pub revision: Option<Revision>,
    /// Whether the deployment is new.
    pub created: bool,
    /// Whether the revision is new.
    pub activated: bool,
    /// Whether a rollout was given up.
    pub aborted: bool,
}

/// What a promotion came to.
#[derive(Clone, Debug)]
pub struct Promotion {
    /// How many deployments were swapped: one.
    pub swapped: u32,
    /// The deployment after it.
    pub deployment: Deployment,
    /// The routes that took the traffic.
    pub promoted: Vec<RouteId>,
    /// The routes that lost it, drained or retained.
    pub drained: Vec<RouteId>,
}

/// What the switch of a set of deployments came to.
#[derive(Clone, Debug)]
pub struct SwitchedSet {
    /// The id that all its changes have.
    pub commit: CommitId,
    /// In the order of the request.
    pub members: Vec<SwitchedMember>,
}

/// What the switch of one deployment of a set came to.
#[derive(Clone, Debug)]
pub struct SwitchedMember {
    /// The deployment after it.
    pub deployment: Deployment,
    /// The routes that took the traffic.
    pub promoted: Vec<RouteId>,
    /// The routes that lost it, drained or retained.
    pub drained: Vec<RouteId>,
}

/// What the creation of a revision came to.
#[derive(Clone, Debug)]
pub struct NewRevision {
    /// The deployment after it.
    pub deployment: Deployment,
    /// The revision.
    pub revision: Revision,
}

/// What a roll-back came to.
#[derive(Clone, Debug)]
pub struct RolledBack {
    /// The deployment after it.
    pub deployment: Deployment,
    /// Whether the traffic is back already; if not, a rollout of the earlier
    /// revision has begun.
    pub instant: bool,
    /// The retained routes that took the traffic, or that the rollout begins with.
    pub kept: Vec<RouteId>,
}
