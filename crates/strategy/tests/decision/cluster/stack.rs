//! Where roll-backs lead, kept once more: a list of what was switched, in its order.

use viridian_strategy::{DeploymentState, MAX_SERVED, RevisionId, TransitionKind};

use super::{
    checks::AppliedTransition,
    legal::{FlatPhase, Initiator},
};

/// What served, and how the last rollout ended, as a caller would note it.
#[derive(Debug, Default)]
pub(crate) struct ExpectedPast {
    served: Vec<RevisionId>,
    /// Whether the rollout under way was begun by a roll-back.
    goes_back: bool,
    /// Whether the last rollout was a way forward, and was given up.
    gave_up: bool,
}

impl ExpectedPast {
    pub(crate) fn applied(&mut self, applied: &AppliedTransition<'_>) {
        let (before, after) = (applied.before, applied.after);
        let [was, is] = [before, after].map(|case| case.deployment.state);
        let replaced = is_replaced(&was, &is, applied.transition.kind);
        match (applied.transition.kind, was.current(), is.current()) {
            (TransitionKind::Promotion, Some(old), _) if !self.goes_back => self.push(old),
            (TransitionKind::Promotion | TransitionKind::InstantRollBack, _, Some(new)) => {
                self.back_to(new);
            }
            (TransitionKind::Step, Some(old), Some(new)) if replaced => match applied.by {
                Initiator::RollBack => self.back_to(new),
                _ => self.push(old),
            },
            _ => {}
        }
        let forward = !self.goes_back;
        let [was, is] = [was, is].map(|state| FlatPhase::of(&state));
        let turned = was != FlatPhase::RollingBack && is == FlatPhase::RollingBack;
        let ended = was.is_deploying() && was != FlatPhase::RollingBack && !is.is_deploying();
        if turned || ended || was == FlatPhase::Pending && is == FlatPhase::Ready {
            self.gave_up = forward && applied.transition.kind != TransitionKind::Promotion;
            self.gave_up &= was != FlatPhase::Pending;
        }
        match applied.by {
            Initiator::Supersede if was.is_deploying() && was != FlatPhase::RollingBack => {
                self.gave_up = false;
                self.goes_back = false;
            }
            Initiator::Activate | Initiator::Supersede => self.goes_back = false,
            Initiator::RollBack => {
                self.goes_back = applied.transition.kind == TransitionKind::Step;
                let instant = applied.transition.kind == TransitionKind::InstantRollBack;
                self.gave_up &= !instant;
            }
            _ => {}
        }
        if replaced {
            self.gave_up = false;
            self.goes_back = false;
        }
        let recorded: Vec<_> = after.past.served.iter().collect();
        assert_eq!(recorded, self.served, "the revisions that served");
    }

    /// Where a roll-back that names no revision leads.
    pub(crate) fn target(&self) -> Option<RevisionId> {
        self.served.last().copied().filter(|_| !self.gave_up)
    }

    fn push(&mut self, revision: RevisionId) {
        if self.served.last() != Some(&revision) {
            self.served.push(revision);
        }
        if self.served.len() > MAX_SERVED {
            self.served.remove(0);
        }
    }

    fn back_to(&mut self, revision: RevisionId) {
        if let Some(place) = self.served.iter().rposition(|it| *it == revision) {
            self.served.truncate(place);
        }
    }
}

/// Whether a revision gave way directly that was READY without replicas.
fn is_replaced(was: &DeploymentState, is: &DeploymentState, kind: TransitionKind) -> bool {
    let ready = matches!(is, DeploymentState::Ready { .. });
    kind == TransitionKind::Step && ready && was.current() != is.current()
}
