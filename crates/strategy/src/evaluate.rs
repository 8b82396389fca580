//! What a deployment does next.

use crate::{
    Blocker, Blockers, DeploymentState, Observed, Reason, RevisionId, RolloutEnd, Timestamp,
    Transition, pause,
    replenish::{Replenish, drain_obsolete},
};

/// What a deployment does next, why it does not do more, and when to evaluate it
/// again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What changes now.
    pub transition: Transition,
    /// Why it does not go further.
    pub blockers: Blockers,
    /// When to evaluate again if nothing else happens; never if None.
    pub wake_at: Option<Timestamp>,
    /// When the progress deadline or the gate's timeout passes.
    pub deadline: Option<Timestamp>,
}

/// Decides what a deployment does next.
///
/// Idempotent: a second evaluation without an event in between changes nothing.
pub fn evaluate(observed: &Observed<'_>) -> Evaluation {
    let deployment = observed.deployment;
    match deployment.state {
        // A pause does not delay the end: a deployment that is going cannot be resumed.
        DeploymentState::Destroying { current } => destroy(observed, current),
        DeploymentState::Destroyed { .. } => Evaluation::waiting(observed, deployment.state),
        _ if deployment.paused => pause::hold(observed),
        DeploymentState::Pending { current: None } => {
            Evaluation::blocked(observed, deployment.state, Blocker::NoRevision)
        }
        DeploymentState::Pending {
            current: Some(current),
        }
        | DeploymentState::Ready { current } => keep_current(observed, current),
        DeploymentState::Deploying(rollout) => {
            observed.policy.strategy.rules().evaluate(observed, rollout)
        }
    }
}

/// PENDING and READY: keeps the current revision at the target. A PENDING
/// deployment with all routes ready becomes READY, and stays READY. Without
/// replicas nothing shows that its revision works, so it stays PENDING.
fn keep_current(observed: &Observed<'_>, current: RevisionId) -> Evaluation {
    let deployment = observed.deployment;
    let target = deployment.target_replicas;
    let replenish = Replenish::to_target(observed, current);
    let state = match deployment.state {
        DeploymentState::Pending { .. } if target > 0 && replenish.counts.ready >= target => {
            DeploymentState::Ready { current }
        }
        state => state,
    };
    let mut evaluation = Evaluation::waiting(observed, state);
    if target == 0 && state.was_never_ready() {
        evaluation.wait_for(Blocker::NoReplicas);
    }
    if state.lifecycle() != deployment.state.lifecycle() {
        // The first revision has no rollout. That it came up is what a rollout would say.
        let ready = replenish.counts.ready;
        evaluation.transition.reason = Some(Reason::CameUp { ready });
        evaluation.transition.ended = Some(RolloutEnd::promoted(current));
    }
    for blocker in replenish.blockers(target) {
        evaluation.wait_for(blocker);
    }
    let actions = &mut evaluation.transition.actions;
    replenish.apply(current, actions);
    let retained_end = drain_obsolete(observed, [current; 2], actions);
    evaluation.wake_by(retained_end);
    evaluation
}

fn destroy(observed: &Observed<'_>, current: Option<RevisionId>) -> Evaluation {
    let left = observed
        .routes
        .iter()
        // TERMINATING ones count too: their processes may still run.
        .filter(|route| !route.status.is_over());
    let left = u32::try_from(left.count()).unwrap_or(u32::MAX);
    if left == 0 {
        return Evaluation::waiting(observed, DeploymentState::Destroyed { current });
    }
    let mut evaluation = Evaluation::waiting(observed, DeploymentState::Destroying { current });
    evaluation.wait_for(Blocker::Terminating { left });
    evaluation
        .transition
        .actions
        .drain_active(observed, |_| true);
    evaluation
}

impl Evaluation {
    /// Why it does this, or does not do more, in a sentence for an operator. Empty
    /// when nothing is to be done.
    pub fn reason(&self) -> String {
        if let Some(reason) = self.transition.reason {
            return reason.to_string();
        }
        let sentences: Vec<String> = self.blockers.iter().map(Blocker::to_string).collect();
        sentences.join("; ")
    }

    pub(crate) fn because(transition: Transition, reason: Option<Reason>) -> Self {
        Self::from(Transition {
            reason,
            ..transition
        })
    }

    pub(crate) fn waiting(observed: &Observed<'_>, state: DeploymentState) -> Self {
        Self::from(Transition::step(observed.deployment, state))
    }

    fn blocked(observed: &Observed<'_>, state: DeploymentState, blocker: Blocker) -> Self {
        Self {
            blockers: Blockers::from_iter([blocker]),
            ..Self::waiting(observed, state)
        }
    }

    /// Waits for what the blocker says, until the wait ends by itself.
    pub(crate) fn wait_for(&mut self, blocker: Blocker) {
        self.wake_by(blocker.until());
        self.blockers.push(blocker);
    }

    pub(crate) fn wake_by(&mut self, at: Option<Timestamp>) {
        self.wake_at = [self.wake_at, at].into_iter().flatten().min();
    }

    /// The same, to be evaluated again at once: the state is a new one, and its
    /// own rules have not been applied yet.
    pub(crate) fn requeue_now(mut self, now: Timestamp) -> Self {
        self.wake_by(Some(now));
        self
    }
}

impl From<Transition> for Evaluation {
    fn from(transition: Transition) -> Self {
        Self {
            transition,
            blockers: Blockers::new(),
            wake_at: None,
            deadline: None,
        }
    }
}
