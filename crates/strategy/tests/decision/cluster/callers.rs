//! The callers: what they ask for, at random, and what they ought to be told.

use uuid::Uuid;
use viridian_strategy::{Deployment, Policy, RevisionId, State, Transition, TransitionKind, verbs};

use super::{
    clocks::Clocks,
    dice::Dice,
    fleet::REVISIONS,
    legal::{By, Place},
    policies::Way,
};
use crate::{properties::ready_and_active, scene::Scene};

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Call {
    Activate(RevisionId, bool),
    Promote,
    Abort,
    RollBack(RevisionId),
    Scale(u32),
    Policy(Policy),
    Pause(bool),
    Delete,
}

/// What a call that is taken changes.
pub(crate) enum Answer {
    Moves(By, Transition),
    /// What is asked of the deployment.
    Asks(&'static str, Deployment, Policy),
}

impl Call {
    pub(crate) fn at_random(scene: &Scene, dice: &mut Dice) -> Self {
        if dice.one_in(400) {
            return Self::Delete;
        }
        if scene.deployment.paused && dice.one_in(3) {
            return Self::Pause(false);
        }
        match dice.weighed(&[(12, 0), (9, 1), (3, 2), (6, 3), (8, 4), (6, 5), (5, 6)]) {
            0 => Self::Activate(revision(dice), dice.one_in(3)),
            1 => Self::Promote,
            2 => Self::Abort,
            3 => Self::RollBack(retained(scene, dice).unwrap_or_else(|| revision(dice))),
            4 => Self::Scale(u32::try_from(dice.below(7)).expect("small")),
            5 => {
                let way = Way::of(&scene.policy);
                let way = if dice.one_in(15) { way.other() } else { way };
                Self::Policy(way.policy(dice))
            }
            _ => Self::Pause(!dice.one_in(3)),
        }
    }

    /// What the verb makes of it; none when it is refused.
    pub(crate) fn ask(self, scene: &Scene) -> Option<Answer> {
        let Scene {
            deployment,
            policy,
            now,
            ..
        } = scene;
        let update = |target: u32, new: &Policy| {
            let deployment = verbs::update(deployment, policy, target, new).ok()?;
            Some(Answer::Asks("update", deployment, *new))
        };
        let (by, transition) = match self {
            Self::Scale(target) => return update(target, policy),
            Self::Policy(new) => return update(deployment.target_replicas, &new),
            Self::Pause(true) => {
                let deployment = verbs::pause(deployment, *now).ok()?;
                return Some(Answer::Asks("pause", deployment, *policy));
            }
            Self::Pause(false) => {
                let deployment = verbs::resume(deployment, *now).ok()?;
                return Some(Answer::Asks("resume", deployment, *policy));
            }
            Self::Activate(revision, supersede) => {
                let by = if supersede {
                    By::Supersede
                } else {
                    By::Activate
                };
                (by, scene.try_activate(revision, supersede).ok()?)
            }
            Self::Promote => {
                let promoted = verbs::promote(deployment, &scene.loaded(), policy, *now);
                (By::Promote, promoted.ok()?)
            }
            Self::Abort => (By::Abort, scene.try_abort().ok()?),
            Self::RollBack(revision) => (By::RollBack, scene.try_roll_back(revision).ok()?),
            Self::Delete => (By::Delete, verbs::delete(deployment, &scene.loaded()).ok()?),
        };
        Some(Answer::Moves(by, transition))
    }

    /// It was taken or refused as the design says.
    pub(crate) fn is_answered(self, scene: &Scene, clocks: &Clocks, answer: Option<&Answer>) {
        let place = Place::of(&scene.deployment.state);
        let way = Way::of(&scene.policy);
        let taken = answer.is_some();
        let ought = match self {
            Self::Activate(revision, supersede) => Some(
                !place.is_gone()
                    && scene.deployment.state.current() != Some(revision)
                    && (supersede || !place.is_deploying()),
            ),
            Self::Promote if way == Way::Rolling => Some(false),
            Self::Promote => clocks.may_promote(scene),
            Self::Abort => Some(place.is_deploying() && place != Place::RollingBack),
            Self::RollBack(revision) => {
                is_instant_if_it_can_be(scene, revision, answer);
                let current = scene.deployment.state.current() == Some(revision);
                Some(!place.is_gone() && !place.is_deploying() && !current)
            }
            Self::Scale(_) | Self::Delete => Some(!place.is_gone()),
            Self::Policy(new) => {
                Some(!place.is_gone() && (!place.is_deploying() || Way::of(&new) == way))
            }
            Self::Pause(paused) => Some(!place.is_gone() && scene.deployment.paused != paused),
        };
        assert!(
            ought.is_none_or(|ought| ought == taken),
            "{self:?} was {}",
            if taken { "taken" } else { "refused" }
        );
    }
}

fn is_instant_if_it_can_be(scene: &Scene, revision: RevisionId, answer: Option<&Answer>) {
    let State::Ready { .. } = scene.deployment.state else {
        return;
    };
    let retained = scene.count(|route| {
        route.revision == revision && route.retained_at.is_some() && route.is_ready()
    });
    let target = scene.deployment.target_replicas;
    let enough = retained >= ready_and_active(scene).min(target).max(1);
    let instant = matches!(
        answer,
        Some(Answer::Moves(_, transition)) if transition.kind == TransitionKind::InstantRollBack
    );
    assert_eq!(instant, enough, "with {retained} retained, instant");
}

pub(crate) fn revision(dice: &mut Dice) -> RevisionId {
    RevisionId(Uuid::from_u128(u128::from(
        dice.between(1, REVISIONS as u64),
    )))
}

/// A revision of which routes are retained.
fn retained(scene: &Scene, dice: &mut Dice) -> Option<RevisionId> {
    let retained = scene.routes.iter().find(|route| {
        route.status.is_active() && route.retained_at.is_some() && route.is_ready()
    })?;
    (!dice.one_in(4)).then_some(retained.revision)
}
