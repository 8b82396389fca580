use crate::{DeploymentState, Lifecycle, Observed, RolloutOutcome, Transition};

/// Why a deletion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRejection {
    /// The deployment is DESTROYING or DESTROYED already.
    Gone(Lifecycle),
}

/// Begins the end: every route is drained, and the deployment is DESTROYED when the
/// last one has ended. A pause does not delay it.
///
/// # Errors
///
/// A [`DeleteRejection`] when nothing may change.
pub fn delete(observed: &Observed<'_>) -> Result<Transition, DeleteRejection> {
    let old = observed.deployment;
    let lifecycle = old.state.lifecycle();
    if let Lifecycle::Destroying | Lifecycle::Destroyed = lifecycle {
        return Err(DeleteRejection::Gone(lifecycle));
    }
    let current = old.state.current();
    let mut transition = Transition::step(old, DeploymentState::Destroying { current });
    transition.actions.drain_active(observed, |_| true);
    if let DeploymentState::Deploying(rollout) = &old.state {
        transition = transition.ending(observed, rollout, RolloutOutcome::Aborted);
    }
    Ok(transition.requested())
}

/// Ends a deployment at once, without a report: for a scheduler that is gone. Its routes
/// are taken for ended. Also ends one whose end has begun.
///
/// # Errors
///
/// A [`DeleteRejection`] when nothing may change.
pub fn destroy(observed: &Observed<'_>) -> Result<Transition, DeleteRejection> {
    let old = observed.deployment;
    let lifecycle = old.state.lifecycle();
    if lifecycle == Lifecycle::Destroyed {
        return Err(DeleteRejection::Gone(lifecycle));
    }
    let current = old.state.current();
    let mut transition = Transition::step(old, DeploymentState::Destroyed { current });
    let left = observed.routes.iter().filter(|it| !it.status.is_over());
    transition.actions.end.extend(left.map(|it| it.id));
    Ok(transition.requested())
}
