//! What an evaluation comes to.

use crate::{
    Blocker, Blockers, DeploymentState, Observed, Reason, Timestamp, Transition,
    observed::StaleHealth,
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

    pub(crate) fn blocked(
        observed: &Observed<'_>,
        state: DeploymentState,
        blocker: Blocker,
    ) -> Self {
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

    /// Waits until a health is reported again that is too old to decide on.
    pub(crate) fn wait_for_health(&mut self, stale: Option<StaleHealth>, now: Timestamp) {
        if let Some(stale) = stale {
            self.wait_for(stale.blocker());
            self.wake_by(Some(stale.look_again_at(now)));
        }
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
