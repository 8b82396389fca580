use crate::{
    Changes, Deployment, Policy, RevisionId, Route, State, Timestamp, Traffic, Transition,
    TransitionKind,
    verbs::{ActivateRejection, activate},
};

/// Goes back to an earlier revision.
///
/// At once, if enough of its routes are retained: they take the traffic and all
/// others are drained, even if those are broken. It is an emergency exit, so a
/// pause does not stand in the way. It never lowers the number of ready ACTIVE
/// routes below the target: otherwise, and for any other revision, it is an
/// ordinary activation. The transition's kind tells which.
///
/// # Errors
///
/// An [`ActivateRejection`] when nothing may change.
pub fn roll_back(
    deployment: &Deployment,
    routes: &[Route],
    policy: &Policy,
    revision: RevisionId,
    now: Timestamp,
) -> Result<Transition, ActivateRejection> {
    instant(deployment, routes, revision).map_or_else(
        || activate(deployment, routes, policy, revision, false, now),
        Ok,
    )
}

fn instant(deployment: &Deployment, routes: &[Route], revision: RevisionId) -> Option<Transition> {
    let State::Ready { current } = deployment.state else {
        return None;
    };
    if current == revision {
        return None;
    }
    let mut changes = Changes::default();
    for route in routes.iter().filter(|route| route.status.is_active()) {
        if route.revision == revision && route.retained_at.is_some() && route.is_ready() {
            changes.promote.push(route.id);
        } else {
            changes.drain.push(route.id);
        }
    }
    let serving = routes
        .iter()
        .filter(|route| route.traffic == Traffic::Active && route.is_ready())
        .count();
    let needed = serving.min(deployment.target_replicas as usize).max(1);
    (changes.promote.len() >= needed).then_some(Transition {
        kind: TransitionKind::InstantRollBack,
        state: State::Ready { current: revision },
        changes,
        cause: None,
    })
}
