use crate::{
    Blocker, Deployment, Lifecycle, Policy, Route, State, Step, Strategy, Timestamp, Transition,
    blue_green,
};

/// Why a manual promotion is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PromoteRejection {
    /// Nothing is being deployed.
    NotDeploying(Lifecycle),
    /// The rollout is being rolled back.
    RollingBack,
    /// A rolling update has no gate: it goes on by itself.
    NotBlueGreen,
    /// Something besides the gate is in the way.
    Blocked(Vec<Blocker>),
}

/// Switches all traffic to green, now. Asks for all that an automatic promotion
/// asks for but the gate and the delay.
///
/// # Errors
///
/// A [`PromoteRejection`] when nothing may change.
pub fn promote(
    deployment: &Deployment,
    routes: &[Route],
    policy: &Policy,
    now: Timestamp,
) -> Result<Transition, PromoteRejection> {
    let State::Deploying(rollout) = &deployment.state else {
        return Err(PromoteRejection::NotDeploying(deployment.state.lifecycle()));
    };
    let Strategy::BlueGreen(spec) = &policy.strategy else {
        return Err(PromoteRejection::NotBlueGreen);
    };
    if rollout.step == Step::RollingBack {
        return Err(PromoteRejection::RollingBack);
    }
    if deployment.paused {
        return Err(PromoteRejection::Blocked(vec![Blocker::Paused]));
    }
    let assessment = blue_green::assess(deployment, rollout, routes, policy, spec, now);
    assessment.ready().map_err(PromoteRejection::Blocked)?;
    Ok(blue_green::promotion(&assessment, routes, policy))
}
