//! The callers: random calls, and whether each should be accepted.

use uuid::Uuid;
use viridian_strategy::{
    CanaryProgress, DeploymentState, Policy, RevisionId, Transition, TransitionKind, verbs,
};

use super::{
    clocks::ExpectedClocks,
    fleet::REVISIONS,
    legal::{FlatPhase, Initiator},
    stack::ExpectedPast,
};
use crate::{
    case::DecisionCase,
    generators::{policies::StrategyKind, rng::Rng},
    properties::ready_and_active,
};

/// One call.
#[derive(Clone, Debug)]
pub(crate) enum RandomCall {
    Activate(RevisionId, bool),
    Promote,
    Abort,
    /// To the next step of a canary, or to the last.
    Advance(bool),
    /// To this revision, or to what served before; with gates, or without.
    RollBack(Option<RevisionId>, bool),
    Scale(u32),
    Policy(Policy),
    Pause(bool),
    Restart,
    /// Of the route with this index.
    Drain(usize),
    Delete,
}

/// What a call that is taken changes.
pub(crate) enum CallOutcome {
    Moves(Initiator, Transition),
    /// What is requested of the deployment, and its policy after it.
    Asks(&'static str, Transition, Policy),
}

impl RandomCall {
    pub(crate) fn at_random(case: &DecisionCase, rng: &mut Rng) -> Self {
        if rng.one_in(400) {
            return Self::Delete;
        }
        if case.deployment.paused && rng.one_in(3) {
            return Self::Pause(false);
        }
        let is_canary = StrategyKind::of(&case.policy) == StrategyKind::Canary;
        let asks = [
            (12, 0),
            (9, 1),
            (3, 2),
            (6, 3),
            (8, 4),
            (6, 5),
            (5, 6),
            (4, 7),
            (4, 8),
            (if is_canary { 5 } else { 0 }, 9),
        ];
        match rng.weighed(&asks) {
            0 => Self::Activate(revision(rng), rng.one_in(3)),
            1 => Self::Promote,
            2 => Self::Abort,
            3 => {
                let named = retained(case, rng).unwrap_or_else(|| revision(rng));
                Self::RollBack((!rng.one_in(3)).then_some(named), rng.one_in(4))
            }
            4 => Self::Scale(rng.between_u32(0, 6)),
            5 => {
                let kind = StrategyKind::of(&case.policy);
                let kind = if rng.one_in(15) { kind.other() } else { kind };
                Self::Policy(kind.policy(rng))
            }
            6 => Self::Pause(!rng.one_in(3)),
            7 if !case.routes.is_empty() => {
                let last = case.routes.len() as u64 - 1;
                let index = rng.between(last.saturating_sub(8), last);
                Self::Drain(usize::try_from(index).expect("an index"))
            }
            9 => Self::Advance(rng.one_in(3)),
            _ => Self::Restart,
        }
    }

    /// The outcome by the verb; None if the call is refused.
    pub(crate) fn ask(&self, case: &DecisionCase) -> Option<CallOutcome> {
        let policy = &case.policy;
        let update = |target: u32, new: &Policy| {
            let updated = case.decide(|observed| verbs::update(observed, target, new));
            Some(CallOutcome::Asks("update", updated.ok()?, new.clone()))
        };
        let (by, transition) = match *self {
            Self::Scale(target) => return update(target, policy),
            Self::Policy(ref new) => return update(case.deployment.target_replicas, new),
            Self::Pause(true) => {
                let paused = case.decide(verbs::pause).ok()?;
                return Some(CallOutcome::Asks("pause", paused, policy.clone()));
            }
            Self::Pause(false) => {
                let resumed = case.decide(verbs::resume).ok()?;
                return Some(CallOutcome::Asks("resume", resumed, policy.clone()));
            }
            Self::Advance(to_last) => {
                let advanced = case.decide(|observed| verbs::advance(observed, to_last));
                return Some(CallOutcome::Asks("advance", advanced.ok()?, policy.clone()));
            }
            Self::Restart => {
                let restarted = case.decide(verbs::restart).ok()?;
                return Some(CallOutcome::Asks("restart", restarted, policy.clone()));
            }
            Self::Drain(index) => {
                let id = case.routes[index].id;
                let drained = case.decide(|observed| verbs::drain_route(observed, id));
                return Some(CallOutcome::Asks("drain", drained.ok()??, policy.clone()));
            }
            Self::Activate(revision, supersede) => {
                let by = if supersede {
                    Initiator::Supersede
                } else {
                    Initiator::Activate
                };
                (by, case.try_activate(revision, supersede).ok()?)
            }
            Self::Promote => {
                let promoted = case.decide(verbs::promote);
                (Initiator::Promote, promoted.ok()?)
            }
            Self::Abort => (Initiator::Abort, case.try_abort().ok()?),
            Self::RollBack(named, gated) => {
                let revision = target(case, named)?;
                let back = case.decide(|observed| verbs::roll_back(observed, revision, gated));
                (Initiator::RollBack, back.ok()?)
            }
            Self::Delete => (Initiator::Delete, case.decide(verbs::delete).ok()?),
        };
        Some(CallOutcome::Moves(by, transition))
    }

    /// Checks that it was accepted or refused as designed.
    pub(crate) fn is_answered(
        &self,
        case: &DecisionCase,
        clocks: &ExpectedClocks,
        past: &ExpectedPast,
        answer: Option<&CallOutcome>,
    ) {
        let phase = FlatPhase::of(&case.deployment.state);
        let kind = StrategyKind::of(&case.policy);
        let taken = answer.is_some();
        let ought = match *self {
            Self::Activate(revision, supersede) => Some(
                !phase.is_gone()
                    && case.deployment.state.current() != Some(revision)
                    && (supersede || !phase.is_deploying()),
            ),
            Self::Promote => clocks.may_promote(case),
            Self::Abort => Some(phase.is_deploying() && phase != FlatPhase::RollingBack),
            Self::RollBack(named, gated) => {
                let revision = named.or(past.target());
                if let Some(revision) = revision {
                    is_instant_if_it_can_be(case, revision, gated, answer);
                }
                let current = case.deployment.state.current() == revision;
                let somewhere = revision.is_some() && !current;
                Some(!phase.is_gone() && !phase.is_deploying() && somewhere)
            }
            Self::Scale(_) | Self::Delete => Some(!phase.is_gone()),
            Self::Policy(ref new) => {
                Some(!phase.is_gone() && (!phase.is_deploying() || StrategyKind::of(new) == kind))
            }
            Self::Pause(paused) => Some(!phase.is_gone() && case.deployment.paused != paused),
            Self::Restart => Some(
                !phase.is_gone()
                    && !phase.is_deploying()
                    && !case.deployment.paused
                    && case.deployment.state.current().is_some(),
            ),
            Self::Advance(_) => {
                let rollout = case.deployment.state.rollout();
                let left = |canary: CanaryProgress| canary.advanced || canary.towards > canary.step;
                let left = rollout.is_none_or(|rollout| left(rollout.canary));
                Some(phase == FlatPhase::Shifting && !left && !case.deployment.paused)
            }
            Self::Drain(index) => {
                let route = &case.routes[index];
                Some(route.status.is_active() && route.drain_requested_at.is_none())
            }
        };
        assert!(
            ought.is_none_or(|ought| ought == taken),
            "{self:?} was {}",
            if taken { "taken" } else { "refused" }
        );
    }
}

fn is_instant_if_it_can_be(
    case: &DecisionCase,
    revision: RevisionId,
    gated: bool,
    answer: Option<&CallOutcome>,
) {
    let DeploymentState::Ready { .. } = case.deployment.state else {
        return;
    };
    let retained = case.count(|route| {
        route.revision == revision && route.retained_at.is_some() && route.is_ready()
    });
    let target = case.deployment.target_replicas;
    let enough = retained >= ready_and_active(case).min(target).max(1);
    let instant = matches!(
        answer,
        Some(CallOutcome::Moves(_, transition)) if transition.kind == TransitionKind::InstantRollBack
    );
    assert_eq!(
        instant,
        enough && !gated,
        "with {retained} retained, instant"
    );
}

/// Where a roll-back leads.
pub(crate) fn target(case: &DecisionCase, named: Option<RevisionId>) -> Option<RevisionId> {
    named.or_else(|| verbs::roll_back_target(&case.deployment.state, &case.past).ok())
}

pub(crate) fn revision(rng: &mut Rng) -> RevisionId {
    RevisionId(Uuid::from_u128(u128::from(
        rng.between(1, REVISIONS as u64),
    )))
}

/// A revision of which routes are retained.
fn retained(case: &DecisionCase, rng: &mut Rng) -> Option<RevisionId> {
    let retained = case.routes.iter().find(|route| {
        route.status.is_active() && route.retained_at.is_some() && route.is_ready()
    })?;
    (!rng.one_in(4)).then_some(retained.revision)
}
