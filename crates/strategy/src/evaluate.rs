//! What a deployment does next.

use crate::{
    Blocker, Blockers, Cause, Deployment, Policy, RevisionId, Route, State, Strategy, Timestamp,
    Transition, blue_green,
    keep::{Keep, clear_away},
    rolling,
};

/// What a deployment does next, why it does not do more, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What changes now.
    pub transition: Transition,
    /// Why it does not go further.
    pub blockers: Blockers,
    /// When to look again if nothing else happens; never when there is none.
    pub wake_at: Option<Timestamp>,
    /// When the progress deadline or the gate's timeout passes.
    pub deadline: Option<Timestamp>,
}

/// Decides what a deployment does next.
///
/// Evaluating once more without anything having happened changes nothing. The
/// routes are all that are not over, and the failed ones that were created since
/// their revision was activated.
pub fn evaluate(
    deployment: &Deployment,
    routes: &[Route],
    policy: &Policy,
    now: Timestamp,
) -> Evaluation {
    match deployment.state {
        // A pause does not hold up the end: nobody could resume it after that.
        State::Destroying { current } => destroy(current, routes),
        State::Destroyed { .. } => Evaluation::waiting(deployment.state),
        state if deployment.paused => {
            Evaluation::blocked(state.standing_still(now), Blocker::Paused)
        }
        State::Pending { current: None } => {
            Evaluation::blocked(deployment.state, Blocker::NoRevision)
        }
        State::Pending {
            current: Some(current),
        }
        | State::Ready { current } => keep_current(deployment, current, routes, policy, now),
        State::Deploying(rollout) => match policy.strategy {
            Strategy::BlueGreen(spec) => {
                blue_green::evaluate(deployment, rollout, routes, policy, &spec, now)
            }
            Strategy::Rolling(spec) => {
                rolling::evaluate(deployment, rollout, routes, policy, &spec, now)
            }
        },
    }
}

/// PENDING and READY: the current revision is kept at the target. A PENDING one
/// that is all ready is READY, and stays so.
fn keep_current(
    deployment: &Deployment,
    current: RevisionId,
    routes: &[Route],
    policy: &Policy,
    now: Timestamp,
) -> Evaluation {
    let target = deployment.target_replicas;
    let keep = Keep::at_target(deployment, current, routes, now);
    let state = match deployment.state {
        State::Pending { .. } if keep.tally.ready >= target => State::Ready { current },
        state => state,
    };
    let mut evaluation = Evaluation::waiting(state);
    for blocker in keep.blockers(target) {
        evaluation.wait_for(blocker);
    }
    let changes = &mut evaluation.transition.changes;
    keep.apply(current, changes);
    let retained_end = clear_away([current; 2], routes, policy, now, changes);
    evaluation.wake_by(retained_end);
    evaluation
}

fn destroy(current: Option<RevisionId>, routes: &[Route]) -> Evaluation {
    let left = routes.iter().filter(|route| !route.status.is_over());
    let left = u32::try_from(left.count()).unwrap_or(u32::MAX);
    if left == 0 {
        return Evaluation::waiting(State::Destroyed { current });
    }
    let mut evaluation = Evaluation::waiting(State::Destroying { current });
    let Transition { changes, cause, .. } = &mut evaluation.transition;
    *cause = Some(Cause::Ending { left });
    changes.drain_active(routes);
    evaluation
}

impl Evaluation {
    /// Why it does this, or does not do more, in a sentence for an operator;
    /// empty when all is as it ought to be.
    pub fn reason(&self) -> String {
        if let Some(cause) = self.transition.cause {
            return cause.to_string();
        }
        let sentences: Vec<String> = self.blockers.iter().map(Blocker::to_string).collect();
        sentences.join("; ")
    }

    pub(crate) fn waiting(state: State) -> Self {
        Self::from(Transition::step(state))
    }

    fn blocked(state: State, blocker: Blocker) -> Self {
        Self {
            blockers: Blockers::from_iter([blocker]),
            ..Self::waiting(state)
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
