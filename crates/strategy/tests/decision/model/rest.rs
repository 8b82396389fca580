//! What must hold of a state in which nothing is left to do, and the way to it.

use viridian_strategy::{
    Blocker, DeploymentState, Evaluation, GateAction, ObservedRoute, RolloutStep, RouteHealth,
    RouteStatus, RouteTraffic, TransitionKind,
};

use super::{
    config::ModelConfig,
    rules::{RuleResult, ensure},
    state::{ModelAction, ModelState, ModelStep, is_ready},
};
use crate::properties::switch_of;

/// A cycle does all that there is to do, nothing in a pause, and when it did
/// nothing it says when to look again, unless an event must come first.
pub(super) fn check(before: &ModelState, step: &ModelStep, config: &ModelConfig) -> RuleResult {
    let Some(evaluation) = &step.evaluation else {
        return Ok(());
    };
    let after = &step.after;
    if evaluation.transition.kind == TransitionKind::Shift {
        // Each share is a transaction of its own.
        return ensure(
            evaluation.wake_at == Some(before.now),
            "waits with a share that it has just taken",
        );
    }
    let again = after.evaluate(config).transition;
    ensure(
        again.actions.is_empty()
            && again.deployment.state == after.deployment.state
            && again.kind == TransitionKind::Step,
        "a second cycle changes something more",
    )?;
    if before.deployment.paused && !before.is_ending() {
        return holds_the_rollout(before, step, evaluation);
    }
    let transition = &evaluation.transition;
    if !transition.actions.is_empty() || after.deployment != before.deployment {
        return Ok(());
    }
    match evaluation.wake_at {
        Some(wake_at) => ensure(wake_at > before.now, "asks for another cycle at once"),
        None => ensure(
            is_at_rest(before, evaluation) || awaits(before, config),
            "is stuck: nothing will wake it",
        ),
    }
}

/// A pause holds the rollout, and its clocks; what serves is kept at the target with
/// routes of the current revision.
fn holds_the_rollout(before: &ModelState, step: &ModelStep, evaluation: &Evaluation) -> RuleResult {
    let (was, is) = (before.deployment.state, step.after.deployment.state);
    let actions = &evaluation.transition.actions;
    let heals = actions
        .create
        .iter()
        .all(|new| Some(new.revision) == was.current() && new.traffic == RouteTraffic::Active);
    let takes_green = before.count(|route| {
        actions.drain.contains(&route.id) && route.traffic == RouteTraffic::Inactive
    });
    let backs_off = |blocker: &Blocker| matches!(blocker, Blocker::BackOff { .. });
    let backs_off = evaluation.blockers.iter().any(backs_off);
    let due = evaluation.wake_at.is_some() && !backs_off;
    let serves =
        |route: &ObservedRoute| route.traffic == RouteTraffic::Active && route.status.is_active();
    let target = match was.current() {
        Some(_) => before.deployment.target_replicas,
        None => 0,
    };
    ensure(
        backs_off || step.after.count(serves) >= target,
        "does not keep what serves at the target in a pause",
    )?;
    exchanges_no_more_than_asked(before, step, evaluation)?;
    ensure(
        (was.lifecycle(), was.sub_step()) == (is.lifecycle(), is.sub_step())
            && heals
            && takes_green == 0
            && actions.promote.is_empty()
            && actions.retain.is_empty()
            && !due,
        "moves during a pause",
    )
}

/// In a pause a restart stands: routes above the target are created only for those that a
/// caller wants out, or that hang.
fn exchanges_no_more_than_asked(
    before: &ModelState,
    step: &ModelStep,
    evaluation: &Evaluation,
) -> RuleResult {
    // During a rollout there is no restart.
    if !before.deployment.restarted || before.is_deploying() {
        return Ok(());
    }
    let live = |model: &ModelState| model.count(ObservedRoute::is_live);
    let unhealthy = before.count(|route| route.health == RouteHealth::Unhealthy);
    let requested = before.count(|route| route.drain_requested_at.is_some());
    let creates = !evaluation.transition.actions.create.is_empty();
    let most = before.deployment.target_replicas.max(live(before));
    ensure(
        !creates || live(&step.after) <= most + requested + unhealthy,
        "goes on with a restart in a pause",
    )
}

/// Whether all is as it ought to be.
fn is_at_rest(model: &ModelState, evaluation: &Evaluation) -> bool {
    let target = model.deployment.target_replicas;
    let quiet = evaluation.transition.actions.is_empty()
        && evaluation.transition.deployment.state == model.deployment.state;
    match model.deployment.state {
        DeploymentState::Destroyed { .. } => model.count(|route| !route.status.is_over()) == 0,
        DeploymentState::Pending { current } => quiet && (current.is_none() || target == 0),
        DeploymentState::Ready { .. } => {
            quiet
                && evaluation.blockers.is_empty()
                && !model.deployment.paused
                && model.count(ModelState::is_ready_and_active) == target
                && model.count(ObservedRoute::is_live) == target
        }
        DeploymentState::Deploying(_) | DeploymentState::Destroying { .. } => false,
    }
}

/// Whether a report or a person must come first.
fn awaits(model: &ModelState, config: &ModelConfig) -> bool {
    let starting = |route: &ObservedRoute| {
        route.is_live() && !is_ready(route)
            || route.status == RouteStatus::Terminating && model.is_ending()
    };
    let person = match (switch_of(model.policy(config)), model.deployment.state) {
        (Some(spec), DeploymentState::Deploying(rollout)) => {
            let holds = |action| action == GateAction::Hold;
            let gate = spec.gate_timeout.is_none_or(|gate| holds(gate.action));
            let waits = match rollout.step {
                RolloutStep::AwaitingPromotion { .. } => !spec.auto_promote,
                step => step.gate().is_some(),
            };
            waits && gate
        }
        _ => false,
    };
    let no_replicas = model.deployment.target_replicas == 0 && model.is_deploying();
    person || no_replicas || model.count(starting) > 0
}

/// The next step of the good way on from `model`: routes come up, people resume
/// and promote, time passes. It is one of `steps`, with the state that each
/// leads to; nothing when there is none, and the state itself when it is at
/// rest.
pub(super) fn good(
    model: &ModelState,
    number: u32,
    steps: &[(ModelAction, u32)],
    config: &ModelConfig,
) -> Option<u32> {
    let evaluation = model.evaluate(config);
    if is_at_rest(model, &evaluation) {
        return Some(number);
    }
    let awaiting = matches!(
        model.deployment.state,
        DeploymentState::Deploying(rollout) if matches!(rollout.step, RolloutStep::AwaitingPromotion { .. })
    );
    let held = model.deployment.state.rollout();
    let held = held.is_some_and(|it| matches!(it.step, RolloutStep::Shifting { gate: Some(_) }));
    let stopped = model.deployment.target_replicas == 0 && model.is_deploying();
    let rank = |action: ModelAction| match action {
        ModelAction::Resume => Some(0),
        ModelAction::Status(_, RouteStatus::Running) => Some(1),
        ModelAction::Health(_, RouteHealth::Healthy) => Some(2),
        ModelAction::Status(_, RouteStatus::Terminated) if model.is_ending() => Some(3),
        ModelAction::Evaluate => Some(4),
        ModelAction::Promote if awaiting => Some(5),
        ModelAction::Advance(false) if held => Some(5),
        ModelAction::Update(target, _) if target > 0 && stopped => Some(6),
        ModelAction::Tick => Some(7),
        _ => None,
    };
    steps
        .iter()
        .filter(|(_, to)| *to != number)
        .filter_map(|(action, to)| Some((rank(*action)?, *to)))
        .min()
        .map(|(_, to)| to)
}
