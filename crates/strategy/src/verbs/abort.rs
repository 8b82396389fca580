use crate::{
    DeploymentState, Lifecycle, Observed, Rollout, RolloutOutcome, RolloutStep, Transition,
};

/// Why an abort is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortRejection {
    /// Nothing is being deployed.
    NotDeploying(Lifecycle),
    /// The rollout is being rolled back already.
    RollingBack,
}

/// Gives the rollout up and goes back to the current revision: blue-green at once,
/// rolling step by step.
///
/// An abort is possible during a pause. The steps of a rolling update follow once
/// it is resumed.
///
/// # Errors
///
/// An [`AbortRejection`] when nothing may change.
pub fn abort(observed: &Observed<'_>) -> Result<Transition, AbortRejection> {
    let state = observed.deployment.state;
    let DeploymentState::Deploying(rollout) = state else {
        return Err(AbortRejection::NotDeploying(state.lifecycle()));
    };
    if rollout.step == RolloutStep::RollingBack {
        return Err(AbortRejection::RollingBack);
    }
    Ok(give_up(observed, rollout))
}

/// Gives up a rollout that is not being rolled back yet.
pub(super) fn give_up(observed: &Observed<'_>, rollout: Rollout) -> Transition {
    let transition = observed.policy.strategy.rules().abort(observed, rollout);
    transition
        .ending(observed, &rollout, RolloutOutcome::Aborted)
        .requested()
}
