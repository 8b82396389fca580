use crate::{
    DeploymentState, Observed, RevisionId, RouteActions, RouteTraffic, Transition,
    verbs::{ActivateRejection, activate},
};

/// Goes back to an earlier revision.
///
/// At once, if enough of its routes are retained: they take the traffic and all
/// others are drained, even if the retained ones are the broken ones. It is an
/// emergency exit, so it is possible during a pause. It never lowers the number of
/// ready ACTIVE routes below the target. Without enough retained routes, and for any
/// other revision, it is an ordinary activation. The kind of the transition says
/// which it was.
///
/// # Errors
///
/// An [`ActivateRejection`] when nothing may change.
pub fn roll_back(
    observed: &Observed<'_>,
    revision: RevisionId,
) -> Result<Transition, ActivateRejection> {
    match instant(observed, revision) {
        Some(transition) => Ok(transition.requested()),
        None => activate(observed, revision, false),
    }
}

fn instant(observed: &Observed<'_>, revision: RevisionId) -> Option<Transition> {
    let DeploymentState::Ready { current } = observed.deployment.state else {
        return None;
    };
    if current == revision {
        return None;
    }
    let mut actions = RouteActions::default();
    for route in observed.active_routes() {
        if route.revision == revision && route.retained_at.is_some() && route.is_ready() {
            actions.promote.push(route.id);
        } else {
            actions.drain.push(route.id);
        }
    }
    // Compared with what serves, not with the target alone: if fewer serve already,
    // as many retained routes are no loss.
    let serving = observed
        .routes
        .iter()
        .filter(|route| route.traffic == RouteTraffic::Active && route.is_ready())
        .count();
    // At least one, also where nothing serves: a roll-back to no route is an outage.
    let needed = serving
        .min(observed.deployment.target_replicas as usize)
        .max(1);
    let enough = actions.promote.len() >= needed;
    enough.then(|| Transition::instant_roll_back(observed, revision, actions))
}
