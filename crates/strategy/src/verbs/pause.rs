use crate::{DeploymentState, Lifecycle, Observed, ObservedDeployment, Transition};

/// Why a pause or a resume is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseRejection {
    /// A pause of a paused deployment, or a resume of one that is not paused.
    Already,
    /// The deployment is DESTROYING or DESTROYED.
    Gone(Lifecycle),
}

/// Pauses: nothing moves by itself, and the clocks of a rollout stop.
///
/// # Errors
///
/// A [`PauseRejection`] when nothing may change.
pub fn pause(observed: &Observed<'_>) -> Result<Transition, PauseRejection> {
    let state = observed.deployment.state.standing_still(observed.now);
    set_paused(observed, true, state)
}

/// Resumes: the clocks go on from where they stopped.
///
/// # Errors
///
/// A [`PauseRejection`] when nothing may change.
pub fn resume(observed: &Observed<'_>) -> Result<Transition, PauseRejection> {
    let state = observed.deployment.state.going_on(observed.now);
    set_paused(observed, false, state)
}

fn set_paused(
    observed: &Observed<'_>,
    paused: bool,
    state: DeploymentState,
) -> Result<Transition, PauseRejection> {
    let old = observed.deployment;
    match old.state.lifecycle() {
        lifecycle @ (Lifecycle::Destroying | Lifecycle::Destroyed) => {
            Err(PauseRejection::Gone(lifecycle))
        }
        // A second pause must not count as a change: it would move the generation.
        _ if old.paused == paused => Err(PauseRejection::Already),
        _ => Ok(Transition::unchanged(&ObservedDeployment {
            state,
            paused,
            ..*old
        })
        .requested()),
    }
}
