//! A pause: it holds the rollout, and what serves is kept at the target all the same.

use crate::{
    Blocker, DeploymentState, Evaluation, Observed, ObservedRoute, Rollout,
    counts::RouteCounts,
    exchange::is_available,
    replenish::{Replenish, create_after_back_off, trim},
};

/// Holds a deployment: no move, no gate and no deadline. Routes that serve are
/// replaced when they end, and follow the target.
pub(crate) fn hold(observed: &Observed<'_>) -> Evaluation {
    let state = observed.deployment.state;
    // The pause has stopped the clocks already: to stop them again changes nothing.
    let mut evaluation = Evaluation::waiting(observed, state.standing_still(observed.now));
    evaluation.wait_for(Blocker::Paused);
    let Some(current) = state.current() else {
        evaluation.wait_for(Blocker::NoRevision);
        return evaluation;
    };
    let kept = match state {
        DeploymentState::Deploying(rollout) => {
            observed.policy.strategy.rules().hold(observed, &rollout)
        }
        _ => Replenish::to_target(observed, current),
    };
    for blocker in kept.blockers(observed.deployment.target_replicas) {
        evaluation.wait_for(blocker);
    }
    // Retained routes stay beyond their time: a pause must not take the way back.
    evaluation.wake_by(kept.look_again_at);
    kept.apply(current, &mut evaluation.transition.actions);
    evaluation
}

/// Keeps the old and the new routes of a rolling update, which serve side by side, at
/// the target together. None is exchanged for another.
///
/// What is missing is created of the current revision, which has served before, and
/// never beyond the surge. More than the surge allows is drained down to the target,
/// in termination order.
pub(crate) fn hold_side_by_side(
    observed: &Observed<'_>,
    rollout: &Rollout,
    surge: u32,
) -> Replenish {
    let target = observed.deployment.target_replicas;
    let activation = observed.deployment.current_activation;
    let live = || observed.routes.iter().filter(|route| route.is_live());
    let is_current = |route: &ObservedRoute| route.revision == rollout.current;
    // Above the target there may be new routes in the middle of a step, and only those.
    let allowed = if live().all(is_current) {
        target
    } else {
        target + surge
    };
    let all = RouteCounts::of(live(), activation);
    let (mut counts, surplus) = if all.live() > allowed {
        trim(live(), activation, target)
    } else {
        (all, Vec::new())
    };
    let fails_open = observed.fails_open();
    // A route of another revision that is not ready yet has served nothing so far.
    let serving = live()
        .filter(|route| !surplus.contains(&route.id))
        .filter(|route| is_current(route) || is_available(route, fails_open));
    let serving = u32::try_from(serving.count()).unwrap_or(u32::MAX);
    // Bounded by the surge too: in the middle of a step new routes are there that do not serve
    // yet, and each of them would be made up for by one more.
    let missing = target
        .saturating_sub(serving)
        .min((target + surge).saturating_sub(counts.live()));
    let (create, back_off) = create_after_back_off(observed, rollout.current, activation, missing);
    counts.provisioning += create;
    Replenish {
        activation,
        create,
        surplus,
        hung: Vec::new(),
        back_off,
        counts,
        left: 0,
        stale: None,
        look_again_at: None,
    }
}
