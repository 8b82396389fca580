use crate::{Deployment, Lifecycle, Timestamp};

/// Why a pause, or its end, is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseRejection {
    /// It is paused already, or it is not paused.
    Already,
    /// The deployment is being destroyed, or is.
    Gone(Lifecycle),
}

/// Holds everything as it is: nothing moves by itself, and the clocks of a
/// rollout stop.
///
/// # Errors
///
/// A [`PauseRejection`] when nothing may change.
pub fn pause(deployment: &Deployment, now: Timestamp) -> Result<Deployment, PauseRejection> {
    Ok(Deployment {
        state: deployment.state.standing_still(now),
        ..set(deployment, true)?
    })
}

/// Ends a pause: the clocks go on from where they stopped.
///
/// # Errors
///
/// A [`PauseRejection`] when nothing may change.
pub fn resume(deployment: &Deployment, now: Timestamp) -> Result<Deployment, PauseRejection> {
    Ok(Deployment {
        state: deployment.state.going_on(now),
        ..set(deployment, false)?
    })
}

fn set(deployment: &Deployment, paused: bool) -> Result<Deployment, PauseRejection> {
    match deployment.state.lifecycle() {
        lifecycle @ (Lifecycle::Destroying | Lifecycle::Destroyed) => {
            Err(PauseRejection::Gone(lifecycle))
        }
        _ if deployment.paused == paused => Err(PauseRejection::Already),
        _ => Ok(Deployment {
            paused,
            ..*deployment
        }),
    }
}
