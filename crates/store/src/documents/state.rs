//! The state of a deployment, as events and replies have it: its row has columns
//! for this.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::{DeploymentState, RevisionId, Rollout, RolloutStep};

use super::{
    Micros,
    rollout::{CanaryProgressDocument, SteadyDocument, StopwatchDocument, WayBackDocument},
};

#[derive(Serialize, Deserialize)]
#[expect(
    clippy::large_enum_variant,
    reason = "made and taken apart at once, and never kept"
)]
pub(super) enum StateDocument {
    Pending { current: Option<Uuid> },
    Ready { current: Uuid },
    Deploying(WholeRolloutDocument),
    Destroying { current: Option<Uuid> },
    Destroyed { current: Option<Uuid> },
}

#[derive(Serialize, Deserialize)]
pub(super) struct WholeRolloutDocument {
    current: Uuid,
    deploying: Uuid,
    step: StepDocument,
    // Earlier programs distinguished activations by time.
    #[serde(default)]
    activation: i64,
    since: Micros,
    progress: StopwatchDocument,
    best_ready: u32,
    steady: Option<SteadyDocument>,
    // Not in events and replies of programs that had no pauses yet.
    #[serde(default)]
    resumed_at: Micros,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    from_pending: bool,
    // Of a roll-back only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    way_back: Option<WayBackDocument>,
    // These three of a canary only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary: Option<CanaryProgressDocument>,
    #[serde(default, skip_serializing_if = "is_zero")]
    canary_step: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight_permille: Option<u16>,
}

#[derive(Serialize, Deserialize)]
enum StepDocument {
    Provisioning,
    AwaitingPromotion { gate: StopwatchDocument },
    Shifting { gate: Option<StopwatchDocument> },
    RollingBack,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl From<DeploymentState> for StateDocument {
    fn from(state: DeploymentState) -> Self {
        let uuid = |id: Option<RevisionId>| id.map(|RevisionId(id)| id);
        match state {
            DeploymentState::Pending { current } => Self::Pending {
                current: uuid(current),
            },
            DeploymentState::Ready { current } => Self::Ready { current: current.0 },
            DeploymentState::Deploying(rollout) => Self::Deploying(rollout.into()),
            DeploymentState::Destroying { current } => Self::Destroying {
                current: uuid(current),
            },
            DeploymentState::Destroyed { current } => Self::Destroyed {
                current: uuid(current),
            },
        }
    }
}

impl From<StateDocument> for DeploymentState {
    fn from(document: StateDocument) -> Self {
        let revision = |id: Option<Uuid>| id.map(RevisionId);
        match document {
            StateDocument::Pending { current } => Self::Pending {
                current: revision(current),
            },
            StateDocument::Ready { current } => Self::Ready {
                current: RevisionId(current),
            },
            StateDocument::Deploying(rollout) => Self::Deploying(rollout.into()),
            StateDocument::Destroying { current } => Self::Destroying {
                current: revision(current),
            },
            StateDocument::Destroyed { current } => Self::Destroyed {
                current: revision(current),
            },
        }
    }
}

impl From<Rollout> for WholeRolloutDocument {
    fn from(rollout: Rollout) -> Self {
        let Rollout {
            current,
            deploying,
            kind,
            step,
            from_pending,
            activation,
            since,
            progress,
            best_ready,
            steady,
            resumed_at,
            canary,
        } = rollout;
        Self {
            current: current.0,
            deploying: deploying.0,
            step: match step {
                RolloutStep::Provisioning => StepDocument::Provisioning,
                RolloutStep::AwaitingPromotion { gate } => {
                    StepDocument::AwaitingPromotion { gate: gate.into() }
                }
                RolloutStep::Shifting { gate } => StepDocument::Shifting {
                    gate: gate.map(Into::into),
                },
                RolloutStep::RollingBack => StepDocument::RollingBack,
            },
            activation,
            since: since.into(),
            progress: progress.into(),
            best_ready,
            steady: steady.map(Into::into),
            resumed_at: resumed_at.into(),
            from_pending,
            way_back: WayBackDocument::of(kind),
            canary: CanaryProgressDocument::of(canary),
            canary_step: canary.step,
            weight_permille: canary.weight,
        }
    }
}

impl From<WholeRolloutDocument> for Rollout {
    fn from(document: WholeRolloutDocument) -> Self {
        Self {
            current: RevisionId(document.current),
            deploying: RevisionId(document.deploying),
            kind: WayBackDocument::kind(document.way_back),
            step: match document.step {
                StepDocument::Provisioning => RolloutStep::Provisioning,
                StepDocument::AwaitingPromotion { gate } => {
                    RolloutStep::AwaitingPromotion { gate: gate.into() }
                }
                StepDocument::Shifting { gate } => RolloutStep::Shifting {
                    gate: gate.map(Into::into),
                },
                StepDocument::RollingBack => RolloutStep::RollingBack,
            },
            activation: document.activation,
            since: document.since.into(),
            progress: document.progress.into(),
            best_ready: document.best_ready,
            steady: document.steady.map(Into::into),
            resumed_at: document.resumed_at.into(),
            from_pending: document.from_pending,
            canary: CanaryProgressDocument::progress(
                document.canary,
                document.canary_step,
                document.weight_permille,
            ),
        }
    }
}
