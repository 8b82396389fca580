use crate::{Blocker, DeploymentState, Lifecycle, Observed, Transition};

/// Why a manual promotion is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromoteRejection {
    /// Nothing is being deployed.
    NotDeploying(Lifecycle),
    /// The rollout is being rolled back.
    RollingBack,
    /// A rolling update has no gate: it goes on by itself.
    NotBlueGreen,
    /// Something besides the gate blocks it.
    Blocked(Vec<Blocker>),
}

/// Switches all traffic to green, now. Requires everything that an automatic
/// promotion requires, except the gate and the delay.
///
/// # Errors
///
/// A [`PromoteRejection`] when nothing may change.
pub fn promote(observed: &Observed<'_>) -> Result<Transition, PromoteRejection> {
    let state = observed.deployment.state;
    let DeploymentState::Deploying(rollout) = state else {
        return Err(PromoteRejection::NotDeploying(state.lifecycle()));
    };
    let rules = observed.policy.strategy.rules();
    rules.promote(observed, rollout).map(Transition::requested)
}
