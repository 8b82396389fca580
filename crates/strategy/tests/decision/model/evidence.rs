//! What decisions rest on, in the model's own words.

use std::time::Duration;

use viridian_strategy::{
    DeploymentState, Lifecycle, ObservedRoute, Reason, RolloutStep, Strategy, SubStep, Transition,
    TransitionKind,
};

use super::{
    config::ModelConfig,
    rules::{RuleResult, ensure},
    state::{ModelAction, ModelState, ModelStep, is_ready},
};
use crate::properties::{needed_by, resolved, switch_of};

/// A report that another one has overtaken changes nothing.
pub(super) fn later_observation_wins(before: &ModelState, step: &ModelStep) -> RuleResult {
    let ModelAction::Late(index, _) = step.action else {
        return Ok(());
    };
    let (was, is) = (before.members[index], step.after.members[index]);
    let overtaken = was.route.health_observed_at == Some(before.now);
    ensure(
        !overtaken || was == is,
        "an observation that was overtaken is applied",
    )
}

/// What nobody confirms any more ends, and the route is not ready by it.
pub(super) fn silence_ends_a_health(step: &ModelStep) -> RuleResult {
    let ModelAction::Silence(index) = step.action else {
        return Ok(());
    };
    let route = step.after.members[index].route;
    ensure(!is_ready(&route), "ready by a health that has ended")
}

/// What was seen of the session before says nothing about the new one.
pub(super) fn new_session_is_not_checked(step: &ModelStep) -> RuleResult {
    let ModelAction::NewSession(index) = step.action else {
        return Ok(());
    };
    let route = step.after.members[index].route;
    ensure(
        !is_ready(&route) && !route.once_healthy,
        "a new session begins with the health of the one before",
    )
}

/// Where only reports are missing, as after a restart of the server, nothing goes back.
pub(super) fn missing_reports_are_no_loss(
    before: &ModelState,
    step: &ModelStep,
    config: &ModelConfig,
) -> RuleResult {
    let (Some(evaluation), DeploymentState::Deploying(rollout)) =
        (&step.evaluation, before.deployment.state)
    else {
        return Ok(());
    };
    let policy = before.policy(config);
    let target = before.deployment.target_replicas;
    let min_ready = switch_of(policy).map_or(Duration::ZERO, |spec| spec.min_ready);
    let (_, least) = needed_by(&before.deployment, policy);
    if target == 0 || before.deployment.paused || before.ready_green() < least as usize {
        return Ok(());
    }
    let passed = matches!(
        evaluation.transition.reason,
        Some(Reason::DeadlinePassed { .. })
    );
    ensure(!passed, "goes back though all are ready")?;
    let awaited = matches!(rollout.step, RolloutStep::AwaitingPromotion { .. });
    let state = step.after.deployment.state;
    ensure(
        !awaited || !min_ready.is_zero() || state.sub_step() != Some(SubStep::Provisioning),
        "leaves the gate though all are ready",
    )
}

/// Nothing goes forward on a health that nobody has confirmed (I32).
pub(super) fn rests_on_evidence(
    before: &ModelState,
    step: &ModelStep,
    transition: &Transition,
    config: &ModelConfig,
) -> RuleResult {
    let stale = |route: &ObservedRoute| !before.is_fresh(route, config);
    let actions = &transition.actions;
    let promoted = |route: &ObservedRoute| actions.promote.contains(&route.id);
    ensure(
        before.count(|route| promoted(route) && stale(route)) == 0,
        "I32: promotes a route whose health is too old",
    )?;
    let (was, is) = (before.deployment.state, step.after.deployment.state);
    // Zero replicas are proved by nothing but the word of a caller.
    let arrives = is.lifecycle() == Lifecycle::Ready
        && before.deployment.target_replicas > 0
        && (transition.kind == TransitionKind::Promotion || was.lifecycle() == Lifecycle::Pending);
    let unsure = |route: &ObservedRoute| {
        Some(route.revision) == is.current() && route.is_live() && is_ready(route) && stale(route)
    };
    ensure(
        !arrives || before.count(unsure) == 0,
        "READY by a health that is too old",
    )?;
    let DeploymentState::Deploying(rollout) = was else {
        return Ok(());
    };
    let new = match rollout.step {
        RolloutStep::RollingBack => rollout.current,
        _ => rollout.deploying,
    };
    let old_goes = |route: &ObservedRoute| {
        route.revision != new && is_ready(route) && actions.drain.contains(&route.id)
    };
    let new_counts = |route: &ObservedRoute| route.revision == new && is_ready(route);
    let Strategy::Rolling(spec) = &before.policy(config).strategy else {
        return Ok(());
    };
    let target = before.deployment.target_replicas;
    let (_, unavailable) = resolved(spec, target);
    let old = before.count(|route| route.revision != new && is_ready(route) && route.is_live());
    let fresh = before.count(|route| new_counts(route) && !stale(route));
    let gone = before.count(old_goes);
    ensure(
        step.action != ModelAction::Evaluate
            || gone == 0
            || old - gone + fresh >= target.saturating_sub(unavailable),
        "drains an old route for a new one whose health is too old",
    )
}
