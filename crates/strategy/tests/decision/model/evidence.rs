//! What decisions rest on, in the model's own words.

use viridian_strategy::{
    DeploymentState, Lifecycle, ObservedRoute, RolloutStep, Strategy, Transition, TransitionKind,
};

use super::{
    config::ModelConfig,
    rules::{RuleResult, ensure},
    state::{ModelAction, ModelState, ModelStep, is_ready},
};
use crate::properties::resolved;

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
    let arrives = is.lifecycle() == Lifecycle::Ready
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
