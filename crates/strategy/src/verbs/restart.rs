use crate::{DeploymentState, Lifecycle, Observed, ObservedDeployment, Transition};

/// Why a restart is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartRejection {
    /// A revision is being deployed: its routes are new ones.
    Deploying,
    /// There is no revision whose routes could be replaced.
    NoRevision,
    /// The deployment is paused, which holds a restart, too.
    Paused,
    /// The deployment is DESTROYING or DESTROYED.
    Gone(Lifecycle),
}

/// Begins to replace every route of the current revision with a new one of the same
/// revision, within the bounds of a rolling update. The next activation ends that.
///
/// # Errors
///
/// A [`RestartRejection`] when nothing may change.
pub fn restart(observed: &Observed<'_>) -> Result<Transition, RestartRejection> {
    let old = observed.deployment;
    match old.state {
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } => {
            return Err(RestartRejection::Gone(old.state.lifecycle()));
        }
        DeploymentState::Deploying(_) => return Err(RestartRejection::Deploying),
        DeploymentState::Pending { current: None } => return Err(RestartRejection::NoRevision),
        DeploymentState::Pending { .. } | DeploymentState::Ready { .. } => {}
    }
    if old.paused {
        return Err(RestartRejection::Paused);
    }
    // An activation of its own: it separates the new routes from the old ones, and what
    // failed before does not make the new ones wait.
    let activation = old.last_activation + 1;
    Ok(Transition::unchanged(&ObservedDeployment {
        last_activation: activation,
        current_activation: activation,
        restarted: true,
        ..*old
    })
    .requested())
}
