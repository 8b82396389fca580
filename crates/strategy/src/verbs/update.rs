use crate::{
    Lifecycle, MAX_REPLICAS, Observed, ObservedDeployment, Policy, PolicyError, Transition,
};

/// Why an update is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateRejection {
    /// The target is above [`MAX_REPLICAS`].
    TooManyReplicas,
    /// The policy breaks rules.
    Policy(Vec<PolicyError>),
    /// A rollout is under way with the strategy that is to be replaced.
    StrategyInUse,
    /// The deployment is DESTROYING or DESTROYED.
    Gone(Lifecycle),
}

/// Sets another target and another policy. The next evaluation creates or drains
/// blue and green, and the policy's values count from now on.
///
/// # Errors
///
/// An [`UpdateRejection`] when nothing may change.
pub fn update(
    observed: &Observed<'_>,
    new_target: u32,
    new_policy: &Policy,
) -> Result<Transition, UpdateRejection> {
    let old = observed.deployment;
    let lifecycle = old.state.lifecycle();
    if let Lifecycle::Destroying | Lifecycle::Destroyed = lifecycle {
        return Err(UpdateRejection::Gone(lifecycle));
    }
    if new_target > MAX_REPLICAS {
        return Err(UpdateRejection::TooManyReplicas);
    }
    let errors = new_policy.errors();
    if !errors.is_empty() {
        return Err(UpdateRejection::Policy(errors));
    }
    // The clocks and the routes of a rollout are those of its strategy.
    let same_strategy = observed.policy.strategy.is_same_as(&new_policy.strategy);
    if lifecycle == Lifecycle::Deploying && !same_strategy {
        return Err(UpdateRejection::StrategyInUse);
    }
    let deployment = ObservedDeployment {
        target_replicas: new_target,
        ..*old
    };
    let deployment = deployment.with_clocks_after(old, observed.now);
    Ok(Transition::unchanged(&deployment).requested())
}
