//! What can be seen of a route, as a number: two states that look the same have the same.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use viridian_store::GroupRoute;

/// The digest of what is shown of a route. Within one process only.
pub(super) fn digest(of: &GroupRoute) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (route, view) = (&of.route, &of.route.view);
    // Not when its health was last observed: that moves with each report, and is not shown.
    (view.status, view.health, view.traffic).hash(&mut hasher);
    let times = [
        Some(view.created_at),
        Some(view.status_updated_at),
        view.health_updated_at,
        view.retained_at,
    ];
    times
        .map(|at| at.map(|at| at.as_micros()))
        .hash(&mut hasher);
    let texts = [&route.session_id, &route.failure, &route.health_detail];
    texts.hash(&mut hasher);
    let address = route.address.as_ref().map(ToString::to_string);
    address.hash(&mut hasher);
    // Its labels may change. What the revision says never does.
    of.deployment.hash(&mut hasher);
    hasher.finish()
}
