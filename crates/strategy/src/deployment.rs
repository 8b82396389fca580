//! The states of a deployment.

use std::fmt;

use crate::{RevisionId, Rollout, RolloutStep, Timestamp};

/// The state of a deployment. Each variant owns only what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "copied and compared in every decision, which allocates nothing"
)]
pub enum DeploymentState {
    /// Has never been READY; idle without a revision.
    Pending {
        /// The revision that is to serve.
        current: Option<RevisionId>,
    },
    /// The current revision serves.
    Ready {
        /// The revision that serves.
        current: RevisionId,
    },
    /// A revision is being deployed beside the current one.
    Deploying(Rollout),
    /// Its routes are being drained.
    Destroying {
        /// The revision that served last.
        current: Option<RevisionId>,
    },
    /// A tombstone.
    Destroyed {
        /// The revision that served last.
        current: Option<RevisionId>,
    },
}

/// The stage of a deployment's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lifecycle {
    /// Has never been READY.
    Pending,
    /// Serves.
    Ready,
    /// A revision is being deployed.
    Deploying,
    /// Its routes are being drained.
    Destroying,
    /// A tombstone.
    Destroyed,
}

/// The step within DEPLOYING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubStep {
    /// Green is being created and checked.
    Provisioning,
    /// Green is ready; a gate is closed.
    AwaitingPromotion,
    /// A canary: green has its share, and the step is held.
    Shifting,
    /// Going back to the current revision.
    RollingBack,
}

/// A lifecycle with its sub-step: what a state is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LifecyclePhase {
    /// The stage.
    pub lifecycle: Lifecycle,
    /// The step, exactly while DEPLOYING.
    pub sub_step: Option<SubStep>,
}

impl Lifecycle {
    /// The name for programs: `PENDING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Deploying => "DEPLOYING",
            Self::Destroying => "DESTROYING",
            Self::Destroyed => "DESTROYED",
        }
    }
}

impl SubStep {
    /// The name for programs: `PROVISIONING`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::AwaitingPromotion => "AWAITING_PROMOTION",
            Self::Shifting => "SHIFTING",
            Self::RollingBack => "ROLLING_BACK",
        }
    }
}

impl fmt::Display for LifecyclePhase {
    /// `DEPLOYING/PROVISIONING`, or `READY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lifecycle.as_str())?;
        match self.sub_step {
            Some(step) => write!(f, "/{}", step.as_str()),
            None => Ok(()),
        }
    }
}

impl DeploymentState {
    /// The stage with its step.
    pub fn phase(&self) -> LifecyclePhase {
        LifecyclePhase {
            lifecycle: self.lifecycle(),
            sub_step: self.sub_step(),
        }
    }

    /// The stage.
    pub fn lifecycle(&self) -> Lifecycle {
        match self {
            Self::Pending { .. } => Lifecycle::Pending,
            Self::Ready { .. } => Lifecycle::Ready,
            Self::Deploying(_) => Lifecycle::Deploying,
            Self::Destroying { .. } => Lifecycle::Destroying,
            Self::Destroyed { .. } => Lifecycle::Destroyed,
        }
    }

    /// The step, exactly while DEPLOYING.
    pub fn sub_step(&self) -> Option<SubStep> {
        match self {
            Self::Deploying(rollout) => Some(match rollout.step {
                RolloutStep::Provisioning => SubStep::Provisioning,
                RolloutStep::AwaitingPromotion { .. } => SubStep::AwaitingPromotion,
                RolloutStep::Shifting { .. } => SubStep::Shifting,
                RolloutStep::RollingBack => SubStep::RollingBack,
            }),
            _ => None,
        }
    }

    /// The revision that serves, or is to serve.
    pub fn current(&self) -> Option<RevisionId> {
        match *self {
            Self::Pending { current }
            | Self::Destroying { current }
            | Self::Destroyed { current } => current,
            Self::Ready { current } => Some(current),
            Self::Deploying(rollout) => Some(rollout.current),
        }
    }

    /// The rollout, exactly while DEPLOYING.
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Deploying(rollout) => Some(rollout),
            _ => None,
        }
    }

    /// The revision that is being deployed, exactly while DEPLOYING.
    pub fn deploying(&self) -> Option<RevisionId> {
        self.rollout().map(|rollout| rollout.deploying)
    }

    /// Whether the deployment has never had all of its routes ready.
    pub(crate) fn was_never_ready(&self) -> bool {
        match self {
            Self::Pending { .. } => true,
            Self::Deploying(rollout) => rollout.from_pending,
            Self::Ready { .. } | Self::Destroying { .. } | Self::Destroyed { .. } => false,
        }
    }

    /// The same with its clocks stopped.
    pub(crate) fn standing_still(self, now: Timestamp) -> Self {
        match self {
            Self::Deploying(rollout) => Self::Deploying(rollout.standing_still(now)),
            state => state,
        }
    }

    /// The same with the clocks running that [`Self::standing_still`] stopped.
    pub(crate) fn going_on(self, now: Timestamp) -> Self {
        match self {
            Self::Deploying(rollout) => Self::Deploying(rollout.going_on(now)),
            state => state,
        }
    }
}
