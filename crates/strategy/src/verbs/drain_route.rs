use crate::{Observed, ObservedRoute, RouteId, RouteTraffic, Strategy, Transition};

/// Why the drain of a route is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainRejection {
    /// The route has ended, or is ending.
    NotLive,
}

/// Takes one route out: a new one replaces it first, and it is drained once that one is
/// ready. One that is surplus, or that has no traffic, is drained at once. So is one of a
/// canary: what serves is there for all of the traffic.
///
/// None if it was requested already: a repeat changes nothing.
///
/// # Errors
///
/// A [`DrainRejection`] when nothing may change.
pub fn drain_route(
    observed: &Observed<'_>,
    id: RouteId,
) -> Result<Option<Transition>, DrainRejection> {
    let route = observed.active_routes().find(|route| route.id == id);
    let route = route.ok_or(DrainRejection::NotLive)?;
    if route.drain_requested_at.is_some() {
        return Ok(None);
    }
    let mut transition = Transition::unchanged(observed.deployment);
    let actions = &mut transition.actions;
    let spared = is_canary(observed, route) || is_surplus(observed, route);
    if route.traffic == RouteTraffic::Inactive || spared {
        actions.drain.push(id);
    } else {
        actions.request_drain.push(id);
    }
    Ok(Some(transition.requested()))
}

/// Whether it runs the new revision of a canary.
fn is_canary(observed: &Observed<'_>, route: &ObservedRoute) -> bool {
    let deploying = observed.deployment.state.deploying();
    let is_canary = matches!(observed.policy.strategy, Strategy::Canary(_));
    is_canary && deploying == Some(route.revision)
}

/// Whether as many are ready without it as should be. Routes of a rolling update are
/// exchanged by the rules of that.
fn is_surplus(observed: &Observed<'_>, route: &ObservedRoute) -> bool {
    let deploying = observed.deployment.state.deploying().is_some();
    if deploying && matches!(observed.policy.strategy, Strategy::Rolling(_)) {
        return false;
    }
    let others = observed
        .live_routes(route.revision)
        .filter(|other| other.id != route.id && other.is_ready() && !observed.is_outgoing(other));
    others.count() >= observed.deployment.target_replicas as usize
}
