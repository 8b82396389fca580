//! An event: what changed of a deployment, and how it was then.

use super::{CommitId, Deployment};

/// What changed of a deployment, and how it was then.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What changed.
    pub kind: EventKind,
    /// The deployment at its sequence.
    pub deployment: Deployment,
    /// The set of changes that it is one of.
    pub commit: Option<CommitId>,
}

/// What changed of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was created.
    Created,
    /// A call changed it without a move.
    Updated,
    /// Its lifecycle or its sub-step moved.
    Moved,
    /// A revision was promoted.
    Promoted,
    /// A revision took a larger share of the traffic.
    Shifted,
    /// It went back to its current revision.
    RolledBack,
    /// Its routes or its blockers changed.
    Progressed,
}
