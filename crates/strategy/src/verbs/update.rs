use crate::{Deployment, Lifecycle, MAX_REPLICAS, Policy, PolicyError, Strategy};

/// Why an update is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpdateRejection {
    /// The target is above [`MAX_REPLICAS`].
    TooManyReplicas,
    /// The policy breaks rules.
    Policy(Vec<PolicyError>),
    /// A rollout goes by the strategy that is to be replaced.
    StrategyInUse,
    /// The deployment is being destroyed, or is.
    Gone(Lifecycle),
}

/// Asks for another number of routes, by another policy. The next evaluation
/// creates or drains on both sides, and the policy's values count from now on.
///
/// # Errors
///
/// An [`UpdateRejection`] when nothing may change.
pub fn update(
    deployment: &Deployment,
    policy: &Policy,
    new_target: u32,
    new_policy: &Policy,
) -> Result<Deployment, UpdateRejection> {
    let lifecycle = deployment.state.lifecycle();
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
    let same = matches!(
        (&policy.strategy, &new_policy.strategy),
        (Strategy::BlueGreen(_), Strategy::BlueGreen(_))
            | (Strategy::Rolling(_), Strategy::Rolling(_))
    );
    if lifecycle == Lifecycle::Deploying && !same {
        return Err(UpdateRejection::StrategyInUse);
    }
    Ok(Deployment {
        target_replicas: new_target,
        ..*deployment
    })
}
