use crate::{
    DeploymentState, Lifecycle, Observed, ObservedDeployment, ObservedRoute, RevisionId, Rollout,
    RolloutEnd, RolloutKind, RolloutOutcome, RouteActions, RouteTraffic, ServedChange, Stopwatch,
    TrafficSplit, Transition,
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

/// Begins to deploy a revision: by the strategy where something serves, or where there is a
/// version to go back to.
///
/// Otherwise the revision replaces the current one directly: where nothing serves, and the
/// deployment was never READY or has a target of 0. So a fix can always be shipped over a
/// version that never came up. Routes that an earlier promotion retained are drained. With
/// `supersede` the old green of a blue-green rollout is drained too; the old green of a
/// rolling update serves until it is replaced.
///
/// # Errors
///
/// An [`ActivateRejection`] when nothing may change.
pub fn activate(
    observed: &Observed<'_>,
    revision: RevisionId,
    supersede: bool,
) -> Result<Transition, ActivateRejection> {
    let transition = begin(observed, revision, supersede, RolloutKind::Forward)?;
    let transition = match &observed.deployment.state {
        DeploymentState::Deploying(superseded) => {
            transition.ending(observed, superseded, RolloutOutcome::Superseded)
        }
        _ => transition,
    };
    Ok(transition.requested())
}

/// Begins a rollout of one kind. On a way back, the routes that a promotion retained of
/// the revision are its first ones.
pub(super) fn begin(
    observed: &Observed<'_>,
    revision: RevisionId,
    supersede: bool,
    kind: RolloutKind,
) -> Result<Transition, ActivateRejection> {
    let (old, now) = (observed.deployment, observed.now);
    let activation = old.last_activation + 1;
    let mut actions = RouteActions::default();
    let rollout = match old.state {
        DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } => {
            return Err(ActivateRejection::Gone(old.state.lifecycle()));
        }
        state if state.current() == Some(revision) => {
            return Err(ActivateRejection::AlreadyCurrent);
        }
        DeploymentState::Deploying(Rollout { deploying, .. }) if !supersede => {
            return Err(ActivateRejection::InProgress { deploying });
        }
        // Without a revision there are no routes, either.
        DeploymentState::Pending { current: None } => {
            return Ok(replace(observed, revision, kind));
        }
        _ if may_replace_directly(observed) => return Ok(replace(observed, revision, kind)),
        DeploymentState::Pending {
            current: Some(current),
        }
        | DeploymentState::Ready { current } => {
            // Forward, green starts afresh: retained routes of this very revision go, too.
            let kept = |route: &ObservedRoute| kind.is_back() && route.is_kept(revision);
            actions.drain_active(observed, |route| route.revision != current && !kept(route));
            if kind.is_back() {
                let kept = observed.kept_routes(revision).collect();
                observed.policy.strategy.rules().reuse(kept, &mut actions);
            }
            Rollout::new(current, revision, activation, now)
        }
        DeploymentState::Deploying(rollout) => {
            let rules = observed.policy.strategy.rules();
            actions.drain_active(observed, |route| rules.drains_superseded(&rollout, route));
            Rollout::new(rollout.current, revision, activation, now)
        }
    };
    let rollout = Rollout {
        kind,
        from_pending: old.state.was_never_ready(),
        ..rollout
    };
    let state = DeploymentState::Deploying(rollout);
    Ok(Transition {
        actions,
        ..Transition::unchanged(&ObservedDeployment {
            // During a pause the new rollout's clocks stand still from the start, and at zero.
            state: if old.clocks_run() {
                state
            } else {
                state.standing_still(now)
            },
            last_activation: activation,
            // From here on the rollout has a deadline. After a roll-back the first revision
            // goes on with the rest of its time.
            coming_up: old.coming_up.map(|watch| watch.stopped(now)),
            restarted: false,
            ..*old
        })
    })
}

/// Whether there is nothing to switch from, and nothing that was ever good to go back to.
fn may_replace_directly(observed: &Observed<'_>) -> bool {
    let deployment = observed.deployment;
    // What serves, by the table that proxies have: whatever the lifecycle is called.
    (deployment.state.was_never_ready() || deployment.target_replicas == 0)
        && !TrafficSplit::is_served(observed)
}

/// Makes a revision the current one at once.
fn replace(observed: &Observed<'_>, revision: RevisionId, kind: RolloutKind) -> Transition {
    let old = observed.deployment;
    let activation = old.last_activation + 1;
    let mut actions = RouteActions::default();
    // No route serves: there is nothing to lose.
    actions.drain_active(observed, |_| true);
    actions.create(
        revision,
        activation,
        old.target_replicas,
        RouteTraffic::Active,
    );
    let deployment = ObservedDeployment {
        last_activation: activation,
        current_activation: activation,
        // For the first revision of one that was never READY: the next evaluation starts it.
        coming_up: Some(Stopwatch::default()),
        restarted: false,
        ..*old
    };
    let replaced = old.state.current().filter(|_| !old.state.was_never_ready());
    let Some(replaced) = replaced else {
        let current = Some(revision);
        return Transition {
            actions,
            ..Transition::step(&deployment, DeploymentState::Pending { current })
        };
    };
    // What was good before stays a way back, and no rollout that was given up earlier is
    // the last thing that happened.
    Transition {
        actions,
        ended: Some(RolloutEnd::promoted(revision, kind)),
        served: ServedChange::of_switch(kind, replaced, revision),
        ..Transition::step(&deployment, DeploymentState::Ready { current: revision })
    }
}
