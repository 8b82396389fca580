//! What must hold of a canary: its shares, and when it takes the next one.

use viridian_strategy::{
    Canary, FULL_WEIGHT, GateAction, ObservedRoute, Policy, RolloutKind, RolloutStep, RouteTraffic,
    Strategy, TrafficSplit, TransitionKind,
};

use super::{
    config::ModelConfig,
    rules::{RuleResult, ensure},
    state::{ModelAction, ModelState, ModelStep, is_ready},
};
use crate::{
    case::secs,
    properties::{needed_by, needed_green},
};

/// I17 to I19, P2, P3, P15, P16.
pub(super) fn shares_are_sound(model: &ModelState, config: &ModelConfig) -> RuleResult {
    let Strategy::Canary(_) = model.policy(config).strategy else {
        return Ok(());
    };
    let state = &model.deployment.state;
    let green = |route: &ObservedRoute| Some(route.revision) == state.deploying();
    let active = |route: &ObservedRoute| route.traffic == RouteTraffic::Active;
    let known = [state.current(), state.deploying()];
    let strange = |route: &ObservedRoute| active(route) && !known.contains(&Some(route.revision));
    ensure(model.count(strange) == 0, "P16: a third revision is ACTIVE")?;
    let canary = state.rollout().map(|rollout| rollout.canary);
    let asked = canary.and_then(|canary| canary.weight).unwrap_or(0);
    ensure(
        asked < FULL_WEIGHT,
        "I17: all of the traffic without a promotion",
    )?;
    ensure(
        asked > 0 || model.count(|route| green(route) && active(route)) == 0,
        "I18: ACTIVE without a share",
    )?;
    let routes: Vec<ObservedRoute> = model.routes().copied().collect();
    let shares = TrafficSplit::of(state).shares(&routes);
    let sum: u16 = shares.weights.iter().map(|it| it.permille).sum();
    ensure(
        shares.weights.is_empty() || sum == FULL_WEIGHT,
        "I19: the shares are not all of the traffic",
    )?;
    ensure(
        asked > 0 || shares.weights.is_empty(),
        "a share that nobody asked for",
    )?;
    let ready = model.count(|route| green(route) && active(route) && is_ready(route));
    let effective = shares
        .weights
        .iter()
        .find(|it| Some(it.revision) == state.deploying());
    let effective = effective.map_or(0, |it| it.permille);
    ensure(
        ready > 0 || effective == 0,
        "P2: a share without a ready route",
    )?;
    let blue_serves = model.count(|route| {
        !green(route)
            && active(route)
            && (is_ready(route) || route.has_address && route.once_healthy)
    });
    let scaled_for = canary.map_or(0, |canary| canary.scaled_for).max(1);
    let part = (u32::from(asked) * ready.min(scaled_for)).div_ceil(scaled_for);
    ensure(
        blue_serves == 0 || u32::from(effective) <= part,
        "P2: a larger share than asked for, or than its ready routes are of it",
    )
}

/// P1, and that nothing waits for nothing.
pub(super) fn steps_are_kept(
    before: &ModelState,
    step: &ModelStep,
    policy: &Policy,
    spec: &Canary,
    config: &ModelConfig,
) -> RuleResult {
    let kind = step.transition.as_ref().map(|transition| transition.kind);
    let Some(rollout) = before.deployment.state.rollout() else {
        return ensure(
            kind != Some(TransitionKind::Shift),
            "a share without a rollout",
        );
    };
    let is_proven = |least: u32| {
        let mut held = before.green().filter(|member| {
            is_ready(&member.route)
                && before.is_fresh(&member.route, config)
                && secs(member.held.into()) >= spec.switch.min_ready
        });
        least > 0 && held.nth(least as usize - 1).is_some()
    };
    let by_cycle = step.action == ModelAction::Evaluate;
    if kind == Some(TransitionKind::Promotion) {
        let target = before.deployment.target_replicas;
        let (_, least) = needed_green(policy, u32::MAX, 0, target);
        ensure(least == 0 || is_proven(least), "P10: promotes too few")?;
        let ungated = rollout.kind == RolloutKind::Back { gated: false };
        let over = rollout.canary.towards as usize > spec.steps.len()
            || rollout.canary.step as usize == spec.steps.len();
        return ensure(
            !by_cycle || ungated || over,
            "promotes before the last step",
        );
    }
    let Some(after) = step.after.deployment.state.rollout() else {
        return Ok(());
    };
    if rollout.activation != after.activation {
        return ensure(
            after.canary.weight.is_none(),
            "P3: a new rollout has a share",
        );
    }
    let (was, is) = (rollout.canary, after.canary);
    ensure(
        is.weight >= was.weight && is.step >= was.step,
        "P1: the share falls",
    )?;
    let shifts = kind == Some(TransitionKind::Shift);
    // Also at the same step, where the policy asks for more by now.
    ensure(
        shifts == (is.step > was.step || is.weight > was.weight),
        "the share moves without saying so",
    )?;
    if is.weight != was.weight || shifts {
        let target = before.deployment.target_replicas;
        let (_, least) = needed_green(policy, is.step, was.weight.unwrap_or(0), target);
        ensure(
            by_cycle && !before.deployment.paused,
            "P8: the share moves in a pause",
        )?;
        ensure(is_proven(least), "P1: rises without all of its green")?;
    }
    if was.step > 0 && was.towards == was.step && is.towards > was.towards {
        ensure(
            step.action == ModelAction::Advance(true) || is_over(before, policy, spec, u8::MAX),
            "P1: a step is left before its hold is over",
        )?;
    }
    goes_on(before, step, policy, spec, config)
}

/// Whether the present step was held for long enough, and by whom it has to be. No more than
/// `known` ticks of it are sure to be seen.
fn is_over(before: &ModelState, policy: &Policy, spec: &Canary, known: u8) -> bool {
    let Some(rollout) = before.deployment.state.rollout() else {
        return false;
    };
    let canary = rollout.canary;
    let Some(step) = spec.steps.get(canary.step as usize - 1) else {
        return true;
    };
    let held = before.green().filter(|member| is_ready(&member.route));
    let mut held: Vec<u8> = held.map(|member| member.held).collect();
    // Those above what the step needs do not count: the youngest.
    held.sort_unstable_by(|one, other| other.cmp(one));
    let share = canary.weight.unwrap_or(0);
    let target = before.deployment.target_replicas;
    let (needed, _) = needed_green(policy, canary.step, share, target);
    let last = (needed as usize).min(held.len()).checked_sub(1);
    let held = last.map_or(0, |last| held[last]);
    let held = secs(held.min(before.clocks.risen).min(known).into());
    let gate = spec.switch.gate_timeout;
    let timed_out = gate.is_some_and(|gate| {
        let waited = matches!(rollout.step, RolloutStep::Shifting { gate: Some(_) });
        let over = secs(before.clocks.gate.into()) >= gate.duration;
        waited && over && gate.action == GateAction::Promote
    });
    canary.advanced || held >= step.hold && (!step.manual || timed_out)
}

/// With all green that are needed ready for long enough, nothing but the hold or a person is
/// waited for.
fn goes_on(
    before: &ModelState,
    step: &ModelStep,
    policy: &Policy,
    spec: &Canary,
    config: &ModelConfig,
) -> RuleResult {
    let (Some(was), Some(is)) = (
        before.deployment.state.rollout(),
        step.after.deployment.state.rollout(),
    ) else {
        return Ok(());
    };
    // Another number of replicas starts the hold over.
    let is_same = was.canary.scaled_for == is.canary.scaled_for;
    let ungated = was.kind == RolloutKind::Back { gated: false };
    let (needed, _) = needed_by(&before.deployment, policy);
    let ready = |route: &ObservedRoute| is_ready(route) && before.is_fresh(route, config);
    let all = before.green().count() == needed as usize
        && before.green().all(|member| {
            ready(&member.route) && secs(member.held.into()) >= spec.switch.min_ready
        });
    let looks = step.action == ModelAction::Evaluate && !before.deployment.paused;
    let stands =
        was.step == RolloutStep::RollingBack || was.canary.towards as usize > spec.steps.len();
    if !looks || !all || needed == 0 || ungated || stands {
        return Ok(());
    }
    if was.canary.towards > was.canary.step {
        return ensure(
            is.canary.step == was.canary.towards,
            "does not take its share",
        );
    }
    // It takes a larger one first, if its policy asks for one by now.
    let rises = is.canary.weight > was.canary.weight;
    ensure(
        !is_same
            || rises
            || !is_over(before, policy, spec, before.clocks.resumed)
            || is.canary.towards > was.canary.towards,
        "stays at a step that is over",
    )
}
