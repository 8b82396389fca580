use crate::{
    Changes, Deployment, Lifecycle, Policy, RevisionId, Rollout, Route, State, Strategy, Timestamp,
    Traffic, Transition,
};

/// Why an activation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateRejection {
    /// The revision is the current one.
    AlreadyCurrent,
    /// Another revision is being deployed, and the call does not supersede it.
    InProgress {
        /// The one that is being deployed.
        deploying: RevisionId,
    },
    /// The deployment is being destroyed, or is.
    Gone(Lifecycle),
}

/// Begins to deploy a revision.
///
/// A PENDING deployment serves nobody: there the revision replaces the current
/// one directly. What an earlier promotion retained is drained, and with
/// `supersede` the old green too (rolling keeps it until it is replaced, as any
/// other old route, since it serves).
///
/// # Errors
///
/// An [`ActivateRejection`] when nothing may change.
pub fn activate(
    deployment: &Deployment,
    routes: &[Route],
    policy: &Policy,
    revision: RevisionId,
    supersede: bool,
    now: Timestamp,
) -> Result<Transition, ActivateRejection> {
    let mut changes = Changes::default();
    let state = match deployment.state {
        State::Destroying { .. } | State::Destroyed { .. } => {
            return Err(ActivateRejection::Gone(deployment.state.lifecycle()));
        }
        state if state.current() == Some(revision) => {
            return Err(ActivateRejection::AlreadyCurrent);
        }
        State::Pending { .. } => {
            changes.create(revision, deployment.target_replicas, Traffic::Active);
            changes.drain_active(routes);
            State::Pending {
                current: Some(revision),
            }
        }
        State::Ready { current } => {
            let old = active(routes).filter(|route| route.revision != current);
            changes.drain.extend(old.map(|route| route.id));
            State::Deploying(Rollout::new(current, revision, now))
        }
        State::Deploying(rollout) if supersede => {
            let blue_green = matches!(policy.strategy, Strategy::BlueGreen(_));
            let old = active(routes).filter(|route| {
                blue_green && (route.revision != rollout.current || route.retained_at.is_some())
            });
            changes.drain.extend(old.map(|route| route.id));
            State::Deploying(Rollout::new(rollout.current, revision, now))
        }
        State::Deploying(rollout) => {
            return Err(ActivateRejection::InProgress {
                deploying: rollout.deploying,
            });
        }
    };
    // During a pause its clocks wait too.
    let state = if deployment.paused {
        state.standing_still(now)
    } else {
        state
    };
    Ok(Transition {
        changes,
        ..Transition::step(state)
    })
}

fn active(routes: &[Route]) -> impl Iterator<Item = &Route> {
    routes.iter().filter(|route| route.status.is_active())
}
