//! What the runs came across: a simulation that never gets there proves nothing.

use std::{collections::BTreeMap, fmt};

use viridian_strategy::{Blocker, Evaluation, Lifecycle, State, SubStep, TransitionKind};

use super::{
    checks::{Deed, name_of},
    clocks::failed_green,
    legal::{By, Place},
};
use crate::scene::Scene;

/// How often what happened.
#[derive(Default)]
pub(crate) struct Coverage(BTreeMap<(&'static str, &'static str), u64>);

impl Coverage {
    pub(crate) fn count(&mut self, what: &'static str, how: &'static str) {
        *self.0.entry((what, how)).or_default() += 1;
    }

    pub(crate) fn has(&self, what: (&'static str, &'static str)) -> bool {
        self.0.contains_key(&what)
    }

    /// What a change amounts to.
    pub(crate) fn changed(&mut self, deed: &Deed<'_>) {
        let cause = match deed.by {
            By::Cycle => deed.transition.cause.map_or("none", name_of),
            By::Promote => "by hand",
            By::Abort => "abort",
            By::Activate | By::Supersede | By::RollBack | By::Delete => "call",
        };
        match deed.transition.kind {
            TransitionKind::Promotion => self.count("promotion", cause),
            TransitionKind::RollBack => self.count("roll-back", cause),
            TransitionKind::InstantRollBack => self.count("roll-back", "instant"),
            TransitionKind::Step => {}
        }
        let was = Place::of(&deed.before.deployment.state);
        let place = Place::of(&deed.after.deployment.state);
        match (deed.by, was, place) {
            (By::Cycle, Place::Provisioning, Place::RollingBack) => {
                self.count("turned back", cause);
            }
            (By::Cycle, Place::AwaitingPromotion, Place::Provisioning) => {
                self.count("gate", "closed again");
            }
            (By::Cycle, Place::Destroying, Place::Destroyed) => self.count("end", "DESTROYED"),
            (By::Supersede, was, _) if was.is_deploying() => self.count("superseded", cause),
            (By::Abort, _, _) => self.count("aborted", cause),
            _ => {}
        }
    }

    /// What an evaluation came across.
    pub(crate) fn evaluated(&mut self, deed: &Deed<'_>, evaluation: &Evaluation) {
        self.changed(deed);
        let Scene { routes, policy, .. } = deed.before;
        let state = &deed.before.deployment.state;
        let now = deed.before.now;
        let back_off = |blocker: &Blocker| matches!(blocker, Blocker::BackOff { .. });
        if evaluation.blockers.iter().any(back_off) {
            self.count("back-off", "");
        }
        let retained = routes.iter().any(|route| {
            let end = route.retained_at.map(|at| at + policy.scale_down_delay());
            end.is_some_and(|end| end <= now) && deed.transition.changes.drain.contains(&route.id)
        });
        if retained && state.lifecycle() == Lifecycle::Ready {
            self.count("retained", "ended");
        }
        if let State::Deploying(rollout) = state {
            let failed = failed_green(deed.before) > 0;
            let new = &deed.transition.changes.rollout;
            if failed && new.iter().any(|new| new.revision == rollout.deploying) {
                self.count("replaced", "");
            }
        }
    }

    /// A call that changes no more than what is asked for.
    pub(crate) fn asked(&mut self, what: &'static str, scene: &Scene) {
        let how = match scene.deployment.state.sub_step() {
            Some(SubStep::Provisioning) => "PROVISIONING",
            Some(SubStep::AwaitingPromotion) => "AWAITING_PROMOTION",
            Some(SubStep::RollingBack) => "ROLLING_BACK",
            None => "not DEPLOYING",
        };
        self.count(what, how);
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((what, how), count) in &self.0 {
            write!(f, "\n  {count:>8} {what} {how}")?;
        }
        Ok(())
    }
}
