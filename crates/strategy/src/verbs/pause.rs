use crate::{Lifecycle, Observed, ObservedDeployment, Transition};

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
    set_paused(observed, true)
}

/// Resumes: the clocks go on from where they stopped, unless the target is zero.
///
/// # Errors
///
/// A [`PauseRejection`] when nothing may change.
pub fn resume(observed: &Observed<'_>) -> Result<Transition, PauseRejection> {
    set_paused(observed, false)
}

fn set_paused(observed: &Observed<'_>, paused: bool) -> Result<Transition, PauseRejection> {
    let old = observed.deployment;
    match old.state.lifecycle() {
        lifecycle @ (Lifecycle::Destroying | Lifecycle::Destroyed) => {
            Err(PauseRejection::Gone(lifecycle))
        }
        // A second pause must not count as a change: it would move the generation.
        _ if old.paused == paused => Err(PauseRejection::Already),
        _ => {
            let deployment = ObservedDeployment { paused, ..*old };
            let deployment = deployment.with_clocks_after(old, observed.now);
            Ok(Transition::unchanged(&deployment).requested())
        }
    }
}
