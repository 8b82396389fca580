use crate::{DeploymentState, Lifecycle, Observed, Transition};

/// Why a canary is not advanced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvanceRejection {
    /// Nothing is being deployed.
    NotDeploying(Lifecycle),
    /// The rollout is being rolled back.
    RollingBack,
    /// The strategy has no steps.
    NotCanary,
    /// No step is held: green is still coming up, or all steps are over.
    NotHolding,
    /// The deployment is paused.
    Paused,
}

/// Ends the hold of the present step, and what it waits for by hand. With `to_last`, the steps
/// between it and the last one are left out; the last one is held as its settings say. The
/// share moves once green is ready for the next step.
///
/// # Errors
///
/// An [`AdvanceRejection`] when nothing may change.
pub fn advance(observed: &Observed<'_>, to_last: bool) -> Result<Transition, AdvanceRejection> {
    let state = observed.deployment.state;
    let DeploymentState::Deploying(rollout) = state else {
        return Err(AdvanceRejection::NotDeploying(state.lifecycle()));
    };
    let rules = observed.policy.strategy.rules();
    let transition = rules.advance(observed, rollout, to_last)?;
    Ok(transition.requested())
}
