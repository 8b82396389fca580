//! The bound on what one look takes away, once more and in other words: whatever
//! health says at that moment, the policy's least number of routes is left.

use viridian_strategy::{
    DeploymentState, ObservedDeployment, ObservedRoute, Policy, RouteStatus, RouteTraffic,
    Strategy, Transition, TransitionKind,
};

use crate::properties::resolved;

/// What is broken by a transition that nobody asked for, if something is. `routes` are
/// those before it.
pub(crate) fn check(
    deployment: &ObservedDeployment,
    policy: &Policy,
    routes: &[ObservedRoute],
    transition: &Transition,
) -> Result<(), String> {
    // All of the traffic goes to green, of which there are N; and the end takes all.
    let switches = matches!(policy.strategy, Strategy::BlueGreen(_))
        && transition.kind == TransitionKind::Promotion;
    let state = deployment.state;
    let ends = matches!(
        state,
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. }
    );
    if switches || ends {
        return Ok(());
    }
    let target = deployment.target_replicas;
    let unavailable = match &policy.strategy {
        Strategy::Rolling(spec) if state.deploying().is_some() => resolved(spec, target).1,
        Strategy::Rolling(_) | Strategy::BlueGreen(_) => 0,
    };
    let least = target.saturating_sub(unavailable) as usize;
    let mut left = routes.to_vec();
    for route in &mut left {
        transition.actions.apply(route, route.created_at);
    }
    for (what, count) in [
        ("live", live_count as fn(&[ObservedRoute]) -> usize),
        ("serving", serving_count),
    ] {
        let (before, after) = (count(routes), count(&left));
        if after < before.min(least) {
            return Err(format!(
                "one look leaves {after} of {before} {what} routes; at least {least} must stay"
            ));
        }
    }
    Ok(())
}

/// The routes that take traffic, once they run and are healthy.
fn live_count(routes: &[ObservedRoute]) -> usize {
    let live =
        |route: &&ObservedRoute| route.traffic == RouteTraffic::Active && route.status.is_active();
    routes.iter().filter(live).count()
}

/// The routes in the traffic table.
fn serving_count(routes: &[ObservedRoute]) -> usize {
    let runs = |route: &&ObservedRoute| {
        route.traffic == RouteTraffic::Active && route.status == RouteStatus::Running
    };
    let ready = routes.iter().filter(runs).filter(|route| route.is_ready());
    match ready.count() {
        0 => {
            let once = |route: &&ObservedRoute| route.has_address && route.once_healthy;
            routes.iter().filter(runs).filter(once).count()
        }
        ready => ready,
    }
}
