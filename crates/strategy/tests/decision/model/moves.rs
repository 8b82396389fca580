//! Which moves there are.

use viridian_strategy::{DeploymentState, Lifecycle, ObservedRoute, SubStep, TransitionKind};

use super::{
    config::ModelConfig,
    rules::{RuleResult, ensure},
    state::{ModelAction, ModelState, ModelStep, is_ready},
};

pub(super) fn check(before: &ModelState, step: &ModelStep, config: &ModelConfig) -> RuleResult {
    ensure(is_legal(before, step), "the move is not in the table")?;
    stays_pending(before, step, config)
}

/// What was never READY does not become so by a rollout that is given up, unless all of its
/// routes are ready by then, and their health is confirmed.
fn stays_pending(before: &ModelState, step: &ModelStep, config: &ModelConfig) -> RuleResult {
    let never = |model: &ModelState| match model.deployment.state {
        DeploymentState::Pending { .. } => true,
        DeploymentState::Deploying(rollout) => rollout.from_pending,
        _ => false,
    };
    let (was, is) = (before.deployment.state, step.after.deployment.state);
    if is.rollout().is_some() {
        return ensure(
            never(&step.after) == never(before),
            "a rollout forgets whether the deployment was ever READY",
        );
    }
    let back = step
        .transition
        .as_ref()
        .is_some_and(|it| it.kind == TransitionKind::RollBack);
    if !back {
        return Ok(());
    }
    let ready = |route: &ObservedRoute| {
        let counts = is_ready(route) && before.is_fresh(route, config);
        Some(route.revision) == was.current() && route.is_live() && counts
    };
    let target = before.deployment.target_replicas;
    let came_up = target > 0 && before.count(ready) >= target;
    let pending = is.lifecycle() == Lifecycle::Pending;
    ensure(
        pending == (never(before) && !came_up),
        "a roll-back ends in another lifecycle than it began with",
    )
}

/// The table of moves. That there is at most one promotion for each activation
/// follows from it: a promotion leads from DEPLOYING to READY, and only an
/// activation leads back.
fn is_legal(before: &ModelState, step: &ModelStep) -> bool {
    use Lifecycle::{Deploying, Destroyed, Destroying, Pending, Ready};
    use SubStep::{AwaitingPromotion, Provisioning, RollingBack, Shifting};
    use TransitionKind::{InstantRollBack, Promotion, RollBack, Shift, Step};
    let place = |model: &ModelState| {
        let state = model.deployment.state;
        (state.lifecycle(), state.sub_step())
    };
    let ((from, sub), (to, next)) = (place(before), place(&step.after));
    let Some(transition) = &step.transition else {
        return (from, sub) == (to, next);
    };
    let back = sub == Some(RollingBack);
    if let ModelAction::Drain(_) = step.action {
        let actions = &transition.actions;
        return (from, sub) == (to, next)
            && transition.kind == Step
            && actions.drain.len() + actions.request_drain.len() == 1
            && actions.create.is_empty();
    }
    if let ModelAction::Update(..)
    | ModelAction::Pause
    | ModelAction::Resume
    | ModelAction::Advance(_)
    | ModelAction::Restart = step.action
    {
        return (from, sub) == (to, next)
            && transition.kind == Step
            && transition.actions.is_empty();
    }
    match (step.action, transition.kind, from, to) {
        (ModelAction::Evaluate, Step, Deploying, Deploying) => match next {
            Some(AwaitingPromotion) => !back,
            Some(Provisioning | Shifting) => !back,
            Some(RollingBack) => true,
            None => false,
        },
        (ModelAction::Evaluate, Step, Pending, Pending | Ready)
        | (ModelAction::Evaluate, Step, Ready, Ready)
        | (ModelAction::Evaluate, Step, Destroying, Destroying | Destroyed)
        | (ModelAction::Evaluate, Step, Destroyed, Destroyed)
        | (ModelAction::Evaluate, RollBack, Deploying, Ready | Pending)
        | (ModelAction::Activate(..) | ModelAction::RollBack(..), Step, Pending, Pending)
        | (ModelAction::Activate(..) | ModelAction::RollBack(..), Step, Ready, Ready)
        | (ModelAction::Activate(_, true), Step, Deploying, Pending | Ready)
        | (ModelAction::RollBack(..), InstantRollBack, Ready, Ready)
        | (ModelAction::Delete, Step, Pending | Ready | Deploying, Destroying) => true,
        (ModelAction::Evaluate | ModelAction::Promote, Promotion, Deploying, Ready)
        | (ModelAction::Abort, RollBack, Deploying, Ready | Pending) => !back,
        (ModelAction::Evaluate, Shift, Deploying, Deploying) => !back && next == Some(Shifting),
        (ModelAction::Abort, Step, Deploying, Deploying) => !back && next == Some(RollingBack),
        (
            ModelAction::Activate(..) | ModelAction::RollBack(..),
            Step,
            Pending | Ready,
            Deploying,
        )
        | (ModelAction::Activate(_, true), Step, Deploying, Deploying) => {
            next == Some(Provisioning)
        }
        _ => false,
    }
}
