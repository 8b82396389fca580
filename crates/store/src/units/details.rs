//! Why routes are not healthy or have failed, in the words of those who reported it.

use viridian_strategy::{Blocker, RouteHealth, RouteStatus};

use crate::record::{Deployment, Route};

/// What the health checker said of a route for which a blocker waits: of an UNHEALTHY
/// one rather than of one that may get there, and of the first of them.
pub(super) fn health_detail(deployment: &Deployment, routes: &[Route]) -> String {
    let revision = deployment.status.blockers.iter().find_map(|it| match it {
        Blocker::GreenUnhealthy { .. } => deployment.state.deploying(),
        Blocker::RoutesNotReady { .. } => deployment.state.current(),
        _ => None,
    });
    let unready = routes.iter().filter(|Route { view, .. }| {
        Some(view.revision) == revision
            && view.is_live()
            && view.status == RouteStatus::Running
            && view.health != RouteHealth::Healthy
    });
    let explained = unready.filter(|route| !route.health_detail.is_empty());
    let rank = |route: &&Route| match route.view.health {
        RouteHealth::Unhealthy => 0,
        RouteHealth::Degraded => 1,
        RouteHealth::NotChecked | RouteHealth::Healthy => 2,
    };
    // The first of the lowest: `routes` are in the order of their ids.
    let explains = explained.min_by_key(rank);
    explains.map_or_else(String::new, |route| cut(&route.health_detail))
}

/// What was reported of the last failure that a blocker counts.
pub(super) fn failure_detail(deployment: &Deployment, routes: &[Route]) -> String {
    let state = &deployment.state;
    let (revision, activation) = match deployment.status.counts_failures() {
        Some(Blocker::BackOff { .. }) => (state.current(), deployment.current_activation),
        Some(_) => (state.deploying(), deployment.last_activation),
        None => return String::new(),
    };
    let failed = routes.iter().filter(|Route { view, failure, .. }| {
        Some(view.revision) == revision
            && view.activation == activation
            && view.has_failed()
            && !failure.is_empty()
    });
    let last = failed.max_by_key(|route| (route.view.status_updated_at, route.view.id));
    last.map_or_else(String::new, |route| cut(&route.failure))
}

fn cut(detail: &str) -> String {
    detail[..detail.floor_char_boundary(MAX_DETAIL)].to_owned()
}

/// How much of a detail a blocker's sentence has, in bytes.
const MAX_DETAIL: usize = 256;
