//! What is to change, as a value: decided here, written by the store.

use crate::{
    DeploymentState, Observed, ObservedDeployment, Reason, RevisionId, Rollout, RolloutEnd,
    RolloutKind, RolloutOutcome, RouteActions, ServedChange,
};

/// A change of a deployment and of its routes, to be applied as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What kind of change it is.
    pub kind: TransitionKind,
    /// Whether a caller requested it.
    pub by_request: bool,
    /// The deployment after it.
    pub deployment: ObservedDeployment,
    /// What is to be done with its routes.
    pub actions: RouteActions,
    /// Why, where neither a blocker nor a caller says it.
    pub reason: Option<Reason>,
    /// The rollout that it ends or turns back.
    pub ended: Option<RolloutEnd>,
    /// What it makes of the revisions that served.
    pub served: ServedChange,
}

/// What kind of change a transition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionKind {
    /// No revision takes the traffic: at most the lifecycle and the sub-step move.
    Step,
    /// The deploying revision took a larger share of the traffic.
    Shift,
    /// The deploying revision became current.
    Promotion,
    /// The rollout was given up, by way of ROLLING_BACK if it was not there yet.
    RollBack,
    /// Routes that an earlier promotion retained took the traffic back.
    InstantRollBack,
}

impl Transition {
    /// Leaves the deployment as it is.
    pub fn unchanged(deployment: &ObservedDeployment) -> Self {
        Self {
            kind: TransitionKind::Step,
            by_request: false,
            deployment: *deployment,
            actions: RouteActions::default(),
            reason: None,
            ended: None,
            served: ServedChange::Same,
        }
    }

    /// Moves to `state`, which may be the present one.
    pub(crate) fn step(deployment: &ObservedDeployment, state: DeploymentState) -> Self {
        Self::unchanged(&deployment.moved_to(state))
    }

    /// Makes the deploying revision current.
    pub(crate) fn promotion(
        observed: &Observed<'_>,
        rollout: &Rollout,
        actions: RouteActions,
    ) -> Self {
        Self {
            kind: TransitionKind::Promotion,
            actions,
            ended: Some(RolloutEnd::promoted(rollout.deploying, rollout.kind)),
            served: ServedChange::of_switch(rollout.kind, rollout.current, rollout.deploying),
            ..Self::new_current(observed, rollout.deploying, rollout.activation)
        }
    }

    /// Gives a rollout up: the current revision stays current. A deployment that was never
    /// READY is PENDING again, unless all of its routes have become ready meanwhile.
    pub(crate) fn roll_back(
        observed: &Observed<'_>,
        rollout: &Rollout,
        actions: RouteActions,
    ) -> Self {
        let current = rollout.current;
        let target = observed.deployment.target_replicas as usize;
        let all_ready = || {
            let ready = observed
                .live_routes(current)
                // As for every first READY: not on a health that no report confirms.
                .filter(|route| route.is_ready() && observed.is_fresh(route));
            target > 0 && ready.count() >= target
        };
        let state = if rollout.from_pending && !all_ready() {
            DeploymentState::Pending {
                current: Some(current),
            }
        } else {
            DeploymentState::Ready { current }
        };
        let mut transition = Self::step(observed.deployment, state);
        transition.kind = TransitionKind::RollBack;
        // Also without a call: a caller who expects the old
        // generation must not act on a rollout that is over.
        transition.deployment.generation += 1;
        transition.actions = actions;
        transition.ending(observed, rollout, RolloutOutcome::RolledBack)
    }

    /// The same, with how the rollout comes out that it gives up.
    pub(crate) fn ending(
        self,
        observed: &Observed<'_>,
        rollout: &Rollout,
        outcome: RolloutOutcome,
    ) -> Self {
        Self {
            ended: Some(RolloutEnd::given_up(observed, rollout, outcome)),
            ..self
        }
    }

    /// Gives the traffic back to an earlier revision.
    pub(crate) fn instant_roll_back(
        observed: &Observed<'_>,
        revision: RevisionId,
        actions: RouteActions,
    ) -> Self {
        // An activation of its own: what failed in earlier ones does not count again.
        let activation = observed.deployment.last_activation + 1;
        // At most as many as the target can be: 1,000.
        let kept = u32::try_from(actions.promote.len()).unwrap_or(u32::MAX);
        Self {
            kind: TransitionKind::InstantRollBack,
            reason: Some(Reason::TookBack { kept }),
            actions,
            ended: Some(RolloutEnd::promoted(
                revision,
                RolloutKind::Back { gated: false },
            )),
            served: ServedChange::BackTo(revision),
            ..Self::new_current(observed, revision, activation)
        }
    }

    fn new_current(observed: &Observed<'_>, current: RevisionId, activation: i64) -> Self {
        let old = observed.deployment;
        Self::unchanged(&ObservedDeployment {
            state: DeploymentState::Ready { current },
            last_activation: old.last_activation.max(activation),
            current_activation: activation,
            restarted: false,
            generation: old.generation + 1,
            promoted_at: Some(observed.now),
            coming_up: None,
            ..*old
        })
    }

    /// The same, requested by a caller.
    pub(crate) fn requested(mut self) -> Self {
        self.by_request = true;
        // A promotion or a roll-back has moved the generation already, and one
        // change must move it only once.
        if self.kind == TransitionKind::Step {
            self.deployment.generation += 1;
        }
        self
    }
}
