//! What the runs came across: a simulation that never gets there proves nothing.

use std::fmt;

use viridian_strategy::{
    Blocker, DeploymentState, Evaluation, Lifecycle, SubStep, TransitionKind, verbs,
};

use super::{
    callers::RandomCall,
    checks::{AppliedTransition, name_of},
    clocks::failed_green,
    legal::{FlatPhase, Initiator},
};
use crate::{bounds::is_outgoing, case::DecisionCase, generators::counts::OccurrenceCounts};

/// How often what happened.
#[derive(Default)]
pub(crate) struct RunCoverage(OccurrenceCounts<(&'static str, &'static str)>);

impl RunCoverage {
    pub(crate) fn count(&mut self, what: &'static str, how: &'static str) {
        self.0.add((what, how), 1);
    }

    pub(crate) fn require<'a>(
        &self,
        expected: impl IntoIterator<Item = &'a (&'static str, &'static str)>,
    ) {
        self.0.require(expected);
    }

    /// What a change amounts to.
    pub(crate) fn changed(&mut self, applied: &AppliedTransition<'_>) {
        let cause = match applied.by {
            Initiator::Cycle => applied.transition.reason.map_or("none", name_of),
            Initiator::Promote => "by hand",
            Initiator::Abort => "abort",
            Initiator::Activate
            | Initiator::Supersede
            | Initiator::RollBack
            | Initiator::Delete => "call",
        };
        match applied.transition.kind {
            TransitionKind::Promotion => self.count("promotion", cause),
            TransitionKind::RollBack => self.count("roll-back", cause),
            TransitionKind::InstantRollBack => self.count("roll-back", "instant"),
            TransitionKind::Shift => self.count("shift", cause),
            TransitionKind::Step => {}
        }
        if applied.before.deployment.coming_up.is_some() && applied.by == Initiator::Cycle {
            self.count("first", cause);
        }
        let was = FlatPhase::of(&applied.before.deployment.state);
        let place = FlatPhase::of(&applied.after.deployment.state);
        if was.is_deploying() && place == FlatPhase::Pending {
            self.count("roll-back", "to PENDING");
        }
        match (applied.by, was, place) {
            (Initiator::Cycle, FlatPhase::Provisioning, FlatPhase::RollingBack) => {
                self.count("turned back", cause);
            }
            (Initiator::Cycle, FlatPhase::AwaitingPromotion, FlatPhase::Provisioning) => {
                self.count("gate", "closed again");
            }
            (Initiator::Cycle, FlatPhase::Shifting, FlatPhase::Provisioning) => {
                let towards = [applied.before, applied.after]
                    .map(|case| case.deployment.state.rollout().map(|it| it.canary.towards));
                if towards[0] == towards[1] {
                    self.count("step", "left by a flap");
                }
            }
            (Initiator::Cycle, FlatPhase::Destroying, FlatPhase::Destroyed) => {
                self.count("end", "DESTROYED")
            }
            (Initiator::Supersede, was, _) if was.is_deploying() => self.count("superseded", cause),
            (Initiator::Abort, _, _) => self.count("aborted", cause),
            (Initiator::Activate, FlatPhase::Pending, FlatPhase::Provisioning) => {
                self.count("over PENDING", "by the strategy");
            }
            (Initiator::Activate, FlatPhase::Pending, _) => {
                self.count("over PENDING", "directly");
            }
            (Initiator::Activate, FlatPhase::Ready, FlatPhase::Ready) => {
                self.count("at N = 0", "directly");
            }
            _ => {}
        }
    }

    /// What a roll-back that is asked for comes across.
    pub(crate) fn rolled_back(&mut self, call: &RandomCall, case: &DecisionCase) {
        let RandomCall::RollBack(named, gated) = *call else {
            return;
        };
        let target = verbs::roll_back_target(&case.deployment.state, &case.past);
        match (named, target) {
            (None, Ok(_)) => self.count("way back", "by the stack"),
            (None, Err(verbs::RollBackRejection::AlreadyRolledBack { .. })) => {
                self.count("way back", "refused: went back");
            }
            _ => {}
        }
        let Some(revision) = named.or(target.ok()) else {
            return;
        };
        let back = case.decide(|observed| verbs::roll_back(observed, revision, gated));
        let Ok(back) = back else { return };
        if back.kind == TransitionKind::Step && gated {
            self.count("way back", "gated");
        }
        if !back.actions.reuse.is_empty() {
            self.count("way back", "with kept routes");
        }
    }

    /// What an evaluation came across.
    pub(crate) fn evaluated(&mut self, applied: &AppliedTransition<'_>, evaluation: &Evaluation) {
        self.changed(applied);
        let DecisionCase { routes, policy, .. } = applied.before;
        let state = &applied.before.deployment.state;
        let now = applied.before.now;
        let back_off = |blocker: &Blocker| matches!(blocker, Blocker::BackOff { .. });
        if evaluation.blockers.iter().any(back_off) {
            self.count("back-off", "");
        }
        for route in routes {
            let deployment = &applied.before.deployment;
            if applied.transition.actions.drain.contains(&route.id)
                && is_outgoing(deployment, policy, now, route)
            {
                let cause = match route.drain_requested_at {
                    Some(_) => "drain",
                    None if deployment.restarted => "restart",
                    None => "hangs",
                };
                self.count("exchange", cause);
            }
        }
        let retained = routes.iter().any(|route| {
            let end = route.retained_at.map(|at| at + policy.scale_down_delay());
            end.is_some_and(|end| end <= now)
                && applied.transition.actions.drain.contains(&route.id)
        });
        if retained && state.lifecycle() == Lifecycle::Ready {
            self.count("retained", "ended");
        }
        if let DeploymentState::Deploying(rollout) = state {
            let failed = failed_green(applied.before) > 0;
            let new = &applied.transition.actions.create;
            if failed && new.iter().any(|new| new.revision == rollout.deploying) {
                self.count("replaced", "");
            }
        }
    }

    /// A call that changes no more than what is asked for.
    pub(crate) fn asked(&mut self, what: &'static str, case: &DecisionCase) {
        let how = match case.deployment.state.sub_step() {
            Some(SubStep::Provisioning) => "PROVISIONING",
            Some(SubStep::AwaitingPromotion) => "AWAITING_PROMOTION",
            Some(SubStep::Shifting) => "SHIFTING",
            Some(SubStep::RollingBack) => "ROLLING_BACK",
            None => "not DEPLOYING",
        };
        self.count(what, how);
    }
}

impl fmt::Display for RunCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
