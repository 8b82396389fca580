//! The moves of a deployment that the design's table allows, once more.

use viridian_strategy::{DeploymentState, RolloutStep, TransitionKind};

use super::checks::AppliedTransition;
use crate::properties::ready_and_active;

/// Lifecycle and sub-step in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlatPhase {
    Pending,
    Ready,
    Provisioning,
    AwaitingPromotion,
    Shifting,
    RollingBack,
    Destroying,
    Destroyed,
}

/// Who moves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    Cycle,
    Activate,
    Supersede,
    Promote,
    Abort,
    RollBack,
    Delete,
}

impl FlatPhase {
    pub(crate) fn of(state: &DeploymentState) -> Self {
        match state {
            DeploymentState::Pending { .. } => Self::Pending,
            DeploymentState::Ready { .. } => Self::Ready,
            DeploymentState::Deploying(rollout) => match rollout.step {
                RolloutStep::Provisioning => Self::Provisioning,
                RolloutStep::AwaitingPromotion { .. } => Self::AwaitingPromotion,
                RolloutStep::Shifting { .. } => Self::Shifting,
                RolloutStep::RollingBack => Self::RollingBack,
            },
            DeploymentState::Destroying { .. } => Self::Destroying,
            DeploymentState::Destroyed { .. } => Self::Destroyed,
        }
    }

    pub(crate) fn is_deploying(self) -> bool {
        matches!(
            self,
            Self::Provisioning | Self::AwaitingPromotion | Self::Shifting | Self::RollingBack
        )
    }

    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Destroying | Self::Destroyed)
    }
}

/// The move is one of the table, and the revisions move along with it.
pub(crate) fn is_legal(applied: &AppliedTransition<'_>) {
    let old = &applied.before.deployment.state;
    let new = &applied.after.deployment.state;
    let kind = applied.transition.kind;
    let row = (applied.by, FlatPhase::of(old), kind, FlatPhase::of(new));
    assert!(LEGAL.contains(&row), "not a move of the table: {row:?}");
    let same_rollout = old.deploying() == new.deploying()
        && old.rollout().map(|rollout| rollout.activation)
            == new.rollout().map(|rollout| rollout.activation);
    match (applied.by, kind) {
        (_, TransitionKind::Promotion) => {
            assert_eq!(new.current(), old.deploying(), "promoted something else");
        }
        (_, TransitionKind::InstantRollBack) => {
            assert_ne!(new.current(), old.current(), "went back to where it was");
        }
        (Initiator::Activate | Initiator::Supersede | Initiator::RollBack, _)
            if !FlatPhase::of(new).is_deploying() =>
        {
            let target = applied.before.deployment.target_replicas;
            let never_ready = FlatPhase::of(new) == FlatPhase::Pending;
            assert!(never_ready || target == 0, "replaced what may be good");
            let serving = ready_and_active(applied.before);
            assert_eq!(serving, 0, "replaced what serves");
        }
        (Initiator::Cycle | Initiator::Abort, TransitionKind::Step) => {
            assert_eq!(new.current(), old.current(), "the current one moved");
            assert!(same_rollout, "another rollout: {old:?} to {new:?}");
        }
        _ => assert_eq!(new.current(), old.current(), "the current one moved"),
    }
}

const LEGAL: &[(Initiator, FlatPhase, TransitionKind, FlatPhase)] = {
    use FlatPhase::{
        AwaitingPromotion, Destroyed, Destroying, Pending, Provisioning, Ready, RollingBack,
        Shifting,
    };
    use Initiator::{Abort, Activate, Cycle, Delete, Promote, RollBack, Supersede};
    use TransitionKind::{InstantRollBack, Promotion, RollBack as Back, Shift, Step};
    &[
        (Cycle, Pending, Step, Pending),
        (Cycle, Pending, Step, Ready),
        (Cycle, Ready, Step, Ready),
        (Cycle, Provisioning, Step, Provisioning),
        (Cycle, Provisioning, Step, AwaitingPromotion),
        (Cycle, Provisioning, Step, RollingBack),
        (Cycle, Provisioning, Promotion, Ready),
        (Cycle, Provisioning, Back, Ready),
        (Cycle, Provisioning, Back, Pending),
        (Cycle, AwaitingPromotion, Step, AwaitingPromotion),
        (Cycle, AwaitingPromotion, Step, Provisioning),
        (Cycle, AwaitingPromotion, Promotion, Ready),
        (Cycle, AwaitingPromotion, Back, Ready),
        (Cycle, AwaitingPromotion, Back, Pending),
        (Cycle, Provisioning, Shift, Shifting),
        (Cycle, Provisioning, Step, Shifting),
        (Cycle, Shifting, Shift, Shifting),
        (Cycle, Shifting, Step, Shifting),
        (Cycle, Shifting, Step, Provisioning),
        (Cycle, Shifting, Step, AwaitingPromotion),
        (Cycle, Shifting, Promotion, Ready),
        (Cycle, Shifting, Back, Ready),
        (Cycle, Shifting, Back, Pending),
        (Cycle, AwaitingPromotion, Shift, Shifting),
        (Cycle, AwaitingPromotion, Step, Shifting),
        (Supersede, Shifting, Step, Provisioning),
        (Supersede, Shifting, Step, Pending),
        (Supersede, Shifting, Step, Ready),
        (Promote, Shifting, Promotion, Ready),
        (Abort, Shifting, Back, Ready),
        (Abort, Shifting, Back, Pending),
        (Delete, Shifting, Step, Destroying),
        (Cycle, RollingBack, Step, RollingBack),
        (Cycle, RollingBack, Back, Ready),
        (Cycle, RollingBack, Back, Pending),
        (Cycle, Destroying, Step, Destroying),
        (Cycle, Destroying, Step, Destroyed),
        (Cycle, Destroyed, Step, Destroyed),
        (Activate, Pending, Step, Pending),
        (Activate, Pending, Step, Provisioning),
        (Activate, Ready, Step, Provisioning),
        (Activate, Ready, Step, Ready),
        (Supersede, Pending, Step, Pending),
        (Supersede, Pending, Step, Provisioning),
        (Supersede, Ready, Step, Provisioning),
        (Supersede, Ready, Step, Ready),
        (Supersede, Provisioning, Step, Provisioning),
        (Supersede, Provisioning, Step, Pending),
        (Supersede, Provisioning, Step, Ready),
        (Supersede, AwaitingPromotion, Step, Provisioning),
        (Supersede, AwaitingPromotion, Step, Pending),
        (Supersede, AwaitingPromotion, Step, Ready),
        (Supersede, RollingBack, Step, Provisioning),
        (Supersede, RollingBack, Step, Pending),
        (Supersede, RollingBack, Step, Ready),
        (Promote, Provisioning, Promotion, Ready),
        (Promote, AwaitingPromotion, Promotion, Ready),
        (Abort, Provisioning, Back, Ready),
        (Abort, Provisioning, Back, Pending),
        (Abort, AwaitingPromotion, Back, Ready),
        (Abort, AwaitingPromotion, Back, Pending),
        (Abort, Provisioning, Step, RollingBack),
        (RollBack, Pending, Step, Pending),
        (RollBack, Pending, Step, Provisioning),
        (RollBack, Ready, Step, Provisioning),
        (RollBack, Ready, Step, Ready),
        (RollBack, Ready, InstantRollBack, Ready),
        (Delete, Pending, Step, Destroying),
        (Delete, Ready, Step, Destroying),
        (Delete, Provisioning, Step, Destroying),
        (Delete, AwaitingPromotion, Step, Destroying),
        (Delete, RollingBack, Step, Destroying),
    ]
};
