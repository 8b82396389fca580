use std::{fmt, time::Duration};

use viridian_proto::v1::{BlockerCode, Deployment, DeploymentLifecycle, DeploymentSubStep};

/// How far a deployment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitProgress {
    /// It is on its way.
    InProgress,
    /// It is there.
    Reached,
    /// It goes no further by itself: someone has to act.
    ActionNeeded(NeededAction),
    /// It will not come there by itself.
    Missed(MissReason),
}

/// What someone has to do before a deployment goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeededAction {
    /// Promote the revision that is being deployed.
    Promote,
    /// Advance the step of the canary.
    Advance,
    /// End the pause.
    Resume,
    /// Give it replicas: with none, nothing is proved, and nothing is promoted.
    AddReplicas,
    /// Activate a revision: it has none.
    ActivateRevision,
}

/// Why a deployment will not come to a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// It is being destroyed, or is destroyed.
    Destroyed,
    /// The revision before serves again: the rollout failed or was aborted.
    RolledBack,
    /// Its first revision did not come up in its time, and there is none to go back to.
    NeverReady,
    /// Another revision is being deployed instead.
    Superseded,
    /// It was promoted, and waits for no promotion.
    Promoted,
    /// Its strategy has no gate at which to wait.
    NoGate,
    /// Its policy promotes as soon as all is ready, without a delay.
    PromotesAtOnce,
    /// Not one more route became ready in this time, and no deadline of the server
    /// ends it.
    NoProgress(Duration),
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Destroyed => "it was destroyed",
            Self::RolledBack => "it was rolled back to the previous revision",
            Self::NeverReady => "its first revision never came up",
            Self::Superseded => "another revision is being deployed",
            Self::Promoted => "it was promoted",
            Self::NoGate => "a rolling update has no gate",
            Self::PromotesAtOnce => "its policy promotes without a gate or delay",
            Self::NoProgress(limit) => {
                return write!(f, "there was no progress for {} s", limit.as_secs());
            }
        })
    }
}

impl fmt::Display for NeededAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "waits for someone to promote",
            Self::Advance => "waits for someone to advance its step",
            Self::Resume => "is paused",
            Self::AddReplicas => "has no replicas, so that nothing is promoted",
            Self::ActivateRevision => "has no revision to run",
        })
    }
}

/// What someone has to do before the deployment goes on. None while it goes on by
/// itself, or has nothing to do.
pub fn needed_action(deployment: &Deployment) -> Option<NeededAction> {
    use DeploymentLifecycle::{Deploying, Pending};
    let lifecycle = deployment.lifecycle();
    if lifecycle == Pending && waits_for(deployment, BlockerCode::NoRevision) {
        Some(NeededAction::ActivateRevision)
    } else if deployment.paused && lifecycle == Deploying
        || lifecycle == Pending && waits_for(deployment, BlockerCode::Paused)
    {
        Some(NeededAction::Resume)
    } else if lifecycle != Deploying || deployment.sub_step() == DeploymentSubStep::RollingBack {
        None
    } else if deployment.target_replicas == 0 {
        Some(NeededAction::AddReplicas)
    } else if is_awaiting_promotion(deployment) && waits_for(deployment, BlockerCode::ManualGate) {
        Some(NeededAction::Promote)
    } else if waits_for(deployment, BlockerCode::ManualStep) {
        Some(NeededAction::Advance)
    } else {
        None
    }
}

pub(crate) fn is_awaiting_promotion(deployment: &Deployment) -> bool {
    deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
}

pub(crate) fn waits_for(deployment: &Deployment, code: BlockerCode) -> bool {
    deployment.blockers.iter().any(|it| it.code() == code)
}
