use crate::{
    DeploymentState, Lifecycle, Observed, RevisionId, Rollout, RouteActions, RouteTraffic,
    Transition,
};

/// Why an activation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivateRejection {
    /// The revision is the current one.
    AlreadyCurrent,
    /// Another revision is being deployed, and the call does not supersede it.
    InProgress {
        /// The one that is being deployed.
        deploying: RevisionId,
    },
    /// The deployment is DESTROYING or DESTROYED.
    Gone(Lifecycle),
}

/// Begins to deploy a revision.
///
/// In a PENDING deployment, which has never served, the revision replaces the
/// current one directly. Routes that an earlier promotion retained are drained. With
/// `supersede` the old green of a blue-green rollout is drained too; the old green of
/// a rolling update serves until it is replaced.
///
/// # Errors
///
/// An [`ActivateRejection`] when nothing may change.
pub fn activate(
    observed: &Observed<'_>,
    revision: RevisionId,
    supersede: bool,
) -> Result<Transition, ActivateRejection> {
    begin(observed, revision, supersede).map(Transition::requested)
}

fn begin(
    observed: &Observed<'_>,
    revision: RevisionId,
    supersede: bool,
) -> Result<Transition, ActivateRejection> {
    let (old, now) = (observed.deployment, observed.now);
    let mut actions = RouteActions::default();
    let activation = old.last_activation + 1;
    let mut deployment = *old;
    deployment.last_activation = activation;
    deployment.state = match old.state {
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } => {
            return Err(ActivateRejection::Gone(old.state.lifecycle()));
        }
        state if state.current() == Some(revision) => {
            return Err(ActivateRejection::AlreadyCurrent);
        }
        DeploymentState::Pending { .. } => {
            // A PENDING deployment never served: routes that already run go too.
            actions.drain_active(observed, |_| true);
            actions.create(
                revision,
                activation,
                old.target_replicas,
                RouteTraffic::Active,
            );
            deployment.current_activation = activation;
            DeploymentState::Pending {
                current: Some(revision),
            }
        }
        DeploymentState::Ready { current } => {
            // Retained routes, also those of this very revision: green starts afresh.
            actions.drain_active(observed, |route| route.revision != current);
            DeploymentState::Deploying(Rollout::new(current, revision, activation, now))
        }
        DeploymentState::Deploying(rollout) if supersede => {
            let rules = observed.policy.strategy.rules();
            actions.drain_active(observed, |route| rules.drains_superseded(&rollout, route));
            DeploymentState::Deploying(Rollout::new(rollout.current, revision, activation, now))
        }
        DeploymentState::Deploying(rollout) => {
            let deploying = rollout.deploying;
            return Err(ActivateRejection::InProgress { deploying });
        }
    };
    // During a pause the new rollout's clocks stand still from the start.
    if old.paused {
        deployment.state = deployment.state.standing_still(now);
    }
    Ok(Transition {
        actions,
        ..Transition::unchanged(&deployment)
    })
}
