use crate::{
    DeploymentState, Lifecycle, Observed, ObservedRoute, PastRollouts, RevisionId, RolloutKind,
    RouteActions, RouteTraffic, Transition,
    verbs::{ActivateRejection, activate::begin},
};

/// Why a roll-back that names no revision is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollBackRejection {
    /// Another revision is being deployed.
    InProgress {
        /// Which.
        deploying: RevisionId,
    },
    /// The last rollout was given up already: what was good serves.
    AlreadyRolledBack {
        /// The revision that did not make it.
        left: RevisionId,
    },
    /// No revision served before the current one.
    NoPrevious,
    /// The deployment is DESTROYING or DESTROYED.
    Gone(Lifecycle),
}

/// Where a roll-back leads that names no revision: to what served before, and never to
/// what was just left.
///
/// # Errors
///
/// A [`RollBackRejection`] when it leads nowhere.
pub fn roll_back_target(
    state: &DeploymentState,
    past: &PastRollouts,
) -> Result<RevisionId, RollBackRejection> {
    match state {
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } => {
            Err(RollBackRejection::Gone(state.lifecycle()))
        }
        DeploymentState::Deploying(rollout) => Err(RollBackRejection::InProgress {
            deploying: rollout.deploying,
        }),
        DeploymentState::Pending { .. } | DeploymentState::Ready { .. } => match past.left() {
            // Without this the script that rolls back after a failed rollout would take
            // down the revision that did not fail.
            Some(left) => Err(RollBackRejection::AlreadyRolledBack { left }),
            None => past.served.last().ok_or(RollBackRejection::NoPrevious),
        },
    }
}

/// Goes back to an earlier revision.
///
/// At once, if enough of its routes are retained: they take the traffic and all
/// others are drained, even if the retained ones are the broken ones. It is an
/// emergency exit, so it is possible during a pause. It never lowers the number of
/// ready ACTIVE routes below the target.
///
/// Otherwise it is an activation without a gate (`gated` keeps the gates): the retained
/// routes that are ready are the first of its new routes, and only what is missing is
/// created. The kind of the transition says which it was.
///
/// # Errors
///
/// An [`ActivateRejection`] when nothing may change.
pub fn roll_back(
    observed: &Observed<'_>,
    revision: RevisionId,
    gated: bool,
) -> Result<Transition, ActivateRejection> {
    // A gate is for someone to look at what comes: then nothing is switched yet.
    let instant = if gated {
        None
    } else {
        instant(observed, revision)
    };
    let transition = match instant {
        Some(transition) => transition,
        None => begin(observed, revision, false, RolloutKind::Back { gated })?,
    };
    Ok(transition.requested())
}

fn instant(observed: &Observed<'_>, revision: RevisionId) -> Option<Transition> {
    let DeploymentState::Ready { current } = observed.deployment.state else {
        return None;
    };
    if current == revision {
        return None;
    }
    let mut actions = RouteActions::default();
    // Not on a health that no report confirms, as every switch.
    let takes = |route: &ObservedRoute| route.is_kept(revision) && observed.is_fresh(route);
    let kept = observed.active_routes().filter(|route| takes(route));
    actions.promote.extend(kept.map(|route| route.id));
    actions.drain_active(observed, |route| !takes(route));
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
