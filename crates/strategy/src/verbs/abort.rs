use crate::{
    Deployment, Lifecycle, Policy, Route, State, Step, Strategy, Timestamp, Transition, blue_green,
};

/// Why an abort is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortRejection {
    /// Nothing is being deployed.
    NotDeploying(Lifecycle),
    /// The rollout is being rolled back already.
    RollingBack,
}

/// Gives the rollout up and goes back to the current revision: blue-green at
/// once, rolling step by step.
///
/// A pause does not stand in the way back; a rolling update takes its steps
/// once it is resumed.
///
/// # Errors
///
/// An [`AbortRejection`] when nothing may change.
pub fn abort(
    deployment: &Deployment,
    routes: &[Route],
    policy: &Policy,
    now: Timestamp,
) -> Result<Transition, AbortRejection> {
    let State::Deploying(rollout) = deployment.state else {
        return Err(AbortRejection::NotDeploying(deployment.state.lifecycle()));
    };
    if rollout.step == Step::RollingBack {
        return Err(AbortRejection::RollingBack);
    }
    Ok(match policy.strategy {
        Strategy::BlueGreen(_) => blue_green::roll_back(deployment, &rollout, routes, policy, now),
        Strategy::Rolling(_) => Transition::step(State::Deploying(rollout.turned_back())),
    })
}
