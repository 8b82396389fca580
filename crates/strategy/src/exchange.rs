//! Which old routes may go while new ones take their place.

use crate::{Observed, ObservedRoute, RouteId};

/// The old routes that may be drained now, so that at least `least` are left.
///
/// As Kubernetes does: first, in termination order, those that serve nothing, then
/// those that serve, as far as `least` that serve are left. Both together are bounded
/// by what is *live*: no more go than live above `least`, new routes that are not
/// ready left out. So a moment in which every route looks unhealthy costs no more
/// routes than any other.
pub(crate) fn expendable<'a>(
    observed: &Observed<'_>,
    old: impl Iterator<Item = &'a ObservedRoute> + Clone,
    ready_new: u32,
    least: u32,
) -> Vec<RouteId> {
    let count = |routes: usize| u32::try_from(routes).unwrap_or(u32::MAX);
    let live = count(old.clone().count());
    let mut spare = (live + ready_new).saturating_sub(least);
    // Nothing to sort: that is nearly always so.
    if spare == 0 || live == 0 {
        return Vec::new();
    }
    let fails_open = observed.fails_open();
    let mut old: Vec<(bool, &ObservedRoute)> = old
        .map(|route| (is_available(route, fails_open), route))
        .collect();
    old.sort_unstable_by_key(|(available, route)| (*available, route.termination_key()));
    let mut available = ready_new + count(old.iter().filter(|(available, _)| *available).count());
    let mut going = Vec::new();
    for (serves, route) in old {
        if spare == 0 || serves && available <= least {
            break;
        }
        available -= u32::from(serves);
        spare -= 1;
        going.push(route.id);
    }
    going
}

/// Whether a route serves, or would if it took traffic. What serves by fail-open is all
/// that there is: it counts, or a checker that fails for a moment would make every old
/// route look useless.
pub(crate) fn is_available(route: &ObservedRoute, fails_open: bool) -> bool {
    route.is_ready() || fails_open && route.serves_unready()
}
