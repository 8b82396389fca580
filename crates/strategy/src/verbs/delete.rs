use crate::{Changes, Deployment, Lifecycle, Route, State, Transition};

/// Why a deletion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRejection {
    /// The deployment is being destroyed, or is.
    Gone(Lifecycle),
}

/// Begins the end: every route is drained, and the deployment is DESTROYED when
/// the last one is over. A pause does not hold it up.
///
/// # Errors
///
/// A [`DeleteRejection`] when nothing may change.
pub fn delete(deployment: &Deployment, routes: &[Route]) -> Result<Transition, DeleteRejection> {
    let lifecycle = deployment.state.lifecycle();
    if let Lifecycle::Destroying | Lifecycle::Destroyed = lifecycle {
        return Err(DeleteRejection::Gone(lifecycle));
    }
    let mut changes = Changes::default();
    changes.drain_active(routes);
    Ok(Transition {
        changes,
        ..Transition::step(State::Destroying {
            current: deployment.state.current(),
        })
    })
}
