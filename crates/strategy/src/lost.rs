//! Routes that are gone and have yet to be replaced.

use crate::{ObservedRoute, RevisionId};

/// The routes of a revision that are gone, by no decision of Viridian, and that no later
/// route has replaced: those that failed, and those that their scheduler takes away.
///
/// A decision replaces all of a revision that it may at once, so whatever went before the
/// newest route was created has been replaced, or never will be.
pub fn lost_routes(
    routes: &[ObservedRoute],
    revision: RevisionId,
) -> impl Iterator<Item = &ObservedRoute> {
    let of_revision = move |route: &&ObservedRoute| route.revision == revision;
    let created = routes.iter().filter(of_revision);
    let newest = created.map(|route| route.created_at).max();
    routes.iter().filter(of_revision).filter(move |route| {
        // An evicted one is replaced from then on, and ends later.
        let failed_at = route.has_failed().then_some(route.status_updated_at);
        let lost_at = route.evicted_at.or(failed_at);
        lost_at.is_some() && lost_at >= newest
    })
}
