//! The bound on what one look takes away, once more and in other words: whatever
//! health says at that moment, the policy's least number of routes is left.

use viridian_strategy::{
    DeploymentState, ObservedDeployment, ObservedRoute, Policy, RollingUpdate, RouteHealth,
    RouteStatus, RouteTraffic, Strategy, Timestamp, Transition, TransitionKind,
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
    let switches = matches!(
        policy.strategy,
        Strategy::BlueGreen(_) | Strategy::Canary(_)
    ) && transition.kind == TransitionKind::Promotion;
    let state = deployment.state;
    let ends = matches!(
        state,
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. }
    );
    if switches || ends {
        return Ok(());
    }
    let target = deployment.target_replicas;
    let rolls = state.deploying().is_some() || deployment.restarted;
    let unavailable = match &policy.strategy {
        Strategy::Rolling(spec) if rolls => resolved(spec, target).1,
        Strategy::Rolling(_) | Strategy::BlueGreen(_) | Strategy::Canary(_) => 0,
    };
    let least = target.saturating_sub(unavailable) as usize;
    // The share of a canary is what every way back gives up: blue counts, for all of N.
    let is_canary = matches!(policy.strategy, Strategy::Canary(_));
    let counts = |route: &&ObservedRoute| !is_canary || Some(route.revision) != state.deploying();
    let routes: Vec<ObservedRoute> = routes.iter().filter(counts).copied().collect();
    let routes = &routes[..];
    let mut left = routes.to_vec();
    for route in &mut left {
        transition.actions.apply(route, route.created_at);
    }
    for (what, count) in [
        ("live", live_count as fn(&[ObservedRoute]) -> usize),
        ("serving", serving_count),
    ] {
        let (before, after) = (count(routes), count(&left));
        // A caller wants these out: they go for new ones that are ready, also where
        // others are not ready.
        let requested = if what == "serving" {
            requested_count(routes, transition)
        } else {
            0
        };
        if after + requested < before.min(least) {
            return Err(format!(
                "one look leaves {after} of {before} {what} routes; at least {least} must stay"
            ));
        }
    }
    Ok(())
}

/// Whether a live route of the current revision is to be replaced by a new one.
pub(crate) fn is_outgoing(
    deployment: &ObservedDeployment,
    policy: &Policy,
    now: Timestamp,
    route: &ObservedRoute,
) -> bool {
    let hangs = route.status == RouteStatus::Running
        && route.health == RouteHealth::Unhealthy
        && !policy.replace_unhealthy_after.is_zero()
        && route
            .health_updated_at
            .is_some_and(|since| now.since(since) >= policy.replace_unhealthy_after);
    deployment.state.current() == Some(route.revision)
        && route.is_live()
        && (predates_restart(deployment, route) || hangs || route.drain_requested_at.is_some())
}

fn predates_restart(deployment: &ObservedDeployment, route: &ObservedRoute) -> bool {
    deployment.restarted
        && !deployment.paused
        && deployment.state.current() == Some(route.revision)
        && route.is_live()
        && route.activation < deployment.current_activation
}

/// How many routes of the current revision may be live above the target while some are
/// replaced.
pub(crate) fn exchange_surge<'a>(
    deployment: &ObservedDeployment,
    policy: &Policy,
    mut routes: impl Iterator<Item = &'a ObservedRoute>,
) -> u32 {
    let target = deployment.target_replicas;
    let restarts = routes.any(|route| predates_restart(deployment, route));
    match &policy.strategy {
        Strategy::Rolling(spec) if restarts => resolved(spec, target).0,
        Strategy::BlueGreen(_) | Strategy::Canary(_) if restarts => {
            resolved(&RollingUpdate::default(), target).0
        }
        Strategy::Rolling(_) | Strategy::BlueGreen(_) | Strategy::Canary(_) => (target / 4).max(1),
    }
}

/// The routes that go because a caller asked for it.
fn requested_count(routes: &[ObservedRoute], transition: &Transition) -> usize {
    let requested = routes
        .iter()
        .filter(|route| route.drain_requested_at.is_some());
    requested
        .filter(|route| transition.actions.drain.contains(&route.id))
        .count()
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
