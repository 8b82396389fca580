//! What must hold of a state in which nothing is left to do, and the way to it.

use viridian_strategy::{
    Evaluation, GateAction, Health, Route, RouteStatus, State, Step, Strategy, TransitionKind,
};

use super::{
    config::Config,
    rules::{Verdict, ensure},
    world::{Action, Move, World, is_ready},
};

/// A cycle does all that there is to do, nothing in a pause, and when it did
/// nothing it says when to look again, unless an event must come first.
pub(super) fn check(before: &World, step: &Move, config: &Config) -> Verdict {
    let Some(evaluation) = &step.evaluation else {
        return Ok(());
    };
    let after = &step.after;
    let again = after.evaluate(config).transition;
    ensure(
        again.changes.is_empty()
            && again.state == after.deployment.state
            && again.kind == TransitionKind::Step,
        "a second cycle changes something more",
    )?;
    if before.deployment.paused && !before.is_ending() {
        let (was, is) = (before.deployment.state, after.deployment.state);
        return ensure(
            evaluation.transition.changes.is_empty()
                && evaluation.wake_at.is_none()
                && (was.lifecycle(), was.sub_step()) == (is.lifecycle(), is.sub_step()),
            "moves during a pause",
        );
    }
    let transition = &evaluation.transition;
    if !transition.changes.is_empty() || after.deployment != before.deployment {
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

/// Whether all is as it ought to be.
fn is_at_rest(world: &World, evaluation: &Evaluation) -> bool {
    let target = world.deployment.target_replicas;
    let quiet = evaluation.transition.changes.is_empty()
        && evaluation.transition.state == world.deployment.state;
    match world.deployment.state {
        State::Destroyed { .. } => world.count(|route| !route.status.is_over()) == 0,
        State::Pending { current } => current.is_none(),
        State::Ready { .. } => {
            quiet
                && evaluation.blockers.is_empty()
                && !world.deployment.paused
                && world.count(World::is_ready_and_active) == target
                && world.count(Route::is_live) == target
        }
        State::Deploying(_) | State::Destroying { .. } => false,
    }
}

/// Whether a report or a person must come first.
fn awaits(world: &World, config: &Config) -> bool {
    let starting = |route: &Route| {
        route.is_live() && !is_ready(route)
            || route.status == RouteStatus::Terminating && world.is_ending()
    };
    let person = match (&world.policy(config).strategy, world.deployment.state) {
        (Strategy::BlueGreen(spec), State::Deploying(rollout)) => {
            let holds = |action| action == GateAction::Hold;
            let gate = spec.gate_timeout.is_none_or(|gate| holds(gate.action));
            matches!(rollout.step, Step::AwaitingPromotion { .. }) && gate && !spec.auto_promote
        }
        _ => false,
    };
    person || world.count(starting) > 0
}

/// The next step of the good way on from `world`: routes come up, people resume
/// and promote, time passes. It is one of `steps`, with the state that each
/// leads to; nothing when there is none, and the state itself when it is at
/// rest.
pub(super) fn good(
    world: &World,
    number: u32,
    steps: &[(Action, u32)],
    config: &Config,
) -> Option<u32> {
    let evaluation = world.evaluate(config);
    if is_at_rest(world, &evaluation) {
        return Some(number);
    }
    let awaiting = matches!(
        world.deployment.state,
        State::Deploying(rollout) if matches!(rollout.step, Step::AwaitingPromotion { .. })
    );
    let rank = |action: Action| match action {
        Action::Resume => Some(0),
        Action::Status(_, RouteStatus::Running) => Some(1),
        Action::Health(_, Health::Healthy) => Some(2),
        Action::Status(_, RouteStatus::Terminated) if world.is_ending() => Some(3),
        Action::Evaluate => Some(4),
        Action::Promote if awaiting => Some(5),
        Action::Tick => Some(6),
        _ => None,
    };
    steps
        .iter()
        .filter(|(_, to)| *to != number)
        .filter_map(|(action, to)| Some((rank(*action)?, *to)))
        .min()
        .map(|(_, to)| to)
}
