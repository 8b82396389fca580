//! What must hold of every evaluation besides its change: it says why, and it
//! looks again in time.

use std::time::Duration;

use viridian_strategy::{
    Blocker, DeploymentState, Evaluation, Lifecycle, RouteHealth, RouteTraffic, TransitionKind,
};

use super::{checks::AppliedTransition, legal::FlatPhase};
use crate::{
    case::{DecisionCase, Provisioning, Running, Terminating, secs},
    properties::ready_and_active,
};

/// Every invariant of an evaluation that was applied.
pub(crate) fn waits_soundly(applied: &AppliedTransition<'_>, evaluation: &Evaluation) {
    let case = applied.after;
    let now = case.now;
    let soon = evaluation.wake_at == Some(now);
    assert!(
        evaluation.wake_at.is_none_or(|at| at >= now),
        "to be looked at in the past: {evaluation:?}"
    );
    assert!(
        evaluation.deadline.is_none_or(|at| at > now),
        "I11: past its deadline: {evaluation:?}"
    );
    if applied.before.deployment.paused && !FlatPhase::of(&case.deployment.state).is_gone() {
        holds_still(applied, evaluation);
    }
    says_why(case, evaluation);
    if soon {
        settles(case.clone());
    } else {
        is_idempotent(case, evaluation);
        assert!(
            evaluation.wake_at.is_some() || is_awaited(case, evaluation),
            "stuck: {evaluation:?}"
        );
        nothing_is_due_before(case, evaluation);
        a_pause_stops_the_clocks(case, evaluation);
    }
}

/// While paused the rollout stands still, and no clock of it runs. What serves is
/// kept at the target, with routes of the current revision.
fn holds_still(applied: &AppliedTransition<'_>, evaluation: &Evaluation) {
    let same = applied.before.deployment == applied.after.deployment;
    assert!(same, "moved while paused: {evaluation:?}");
    let actions = &evaluation.transition.actions;
    assert!(actions.promote.is_empty() && actions.retain.is_empty());
    let current = applied.before.deployment.state.current();
    let heals = actions
        .create
        .iter()
        .all(|new| Some(new.revision) == current && new.traffic == RouteTraffic::Active);
    assert!(heals, "rolls out while paused: {evaluation:?}");
    let takes_green = applied.before.count(|route| {
        actions.drain.contains(&route.id) && route.traffic == RouteTraffic::Inactive
    });
    assert_eq!(takes_green, 0, "takes green while paused: {evaluation:?}");
    let backs_off = |blocker: &Blocker| matches!(blocker, Blocker::BackOff { .. });
    let hangs = !applied.before.policy.replace_unhealthy_after.is_zero();
    assert!(
        evaluation.wake_at.is_none() || hangs || evaluation.blockers.iter().any(backs_off),
        "due while paused: {evaluation:?}"
    );
    assert_eq!(evaluation.blockers.first(), Some(&Blocker::Paused));
}

fn says_why(case: &DecisionCase, evaluation: &Evaluation) {
    let complete = ready_and_active(case) == case.deployment.target_replicas;
    let at_rest = match case.deployment.state.lifecycle() {
        Lifecycle::Ready => complete || evaluation.transition.kind != TransitionKind::Step,
        Lifecycle::Destroyed => true,
        Lifecycle::Pending | Lifecycle::Deploying | Lifecycle::Destroying => false,
    };
    assert!(
        at_rest || !evaluation.reason().is_empty(),
        "does not say why: {evaluation:?}"
    );
}

/// Once more without an event: nothing changes.
fn is_idempotent(case: &DecisionCase, evaluation: &Evaluation) {
    let again = case.evaluate();
    let same = again.transition.actions.is_empty()
        && again.transition.deployment.state == case.deployment.state
        && again.transition.kind == TransitionKind::Step;
    assert!(same, "not idempotent: {evaluation:?}, then {again:?}");
    assert!(
        again.wake_at == evaluation.wake_at || again.wake_at.is_some_and(|at| at > case.now),
        "wakes at another time: {evaluation:?}, then {again:?}"
    );
}

/// Without an event nothing changes until it is to be looked at again.
fn nothing_is_due_before(case: &DecisionCase, evaluation: &Evaluation) {
    let month = secs(30 * 24 * 3600);
    let before = match evaluation.wake_at {
        Some(wake_at) => wake_at - Duration::from_micros(1),
        None => case.now + month,
    };
    let DecisionCase { deployment, .. } = case;
    let then = DecisionCase {
        now: before,
        ..case.clone()
    }
    .evaluate();
    let same = then.transition.actions.is_empty()
        && then.transition.ended.is_none()
        && FlatPhase::of(&then.transition.deployment.state) == FlatPhase::of(&deployment.state);
    assert!(
        same,
        "due before it is looked at: {evaluation:?}, then {then:?}"
    );
}

/// Evaluations that ask for another one at once come to an end.
fn settles(mut case: DecisionCase) {
    // The steps of a canary may have no hold.
    for _ in 0..6 {
        let evaluation = case.cycle();
        if evaluation.wake_at.is_none_or(|at| at > case.now) {
            return is_idempotent(&case, &evaluation);
        }
    }
    panic!("does not settle");
}

/// Without a time to look again, something else will move it on, or all is done.
fn is_awaited(case: &DecisionCase, evaluation: &Evaluation) -> bool {
    let state = case.deployment.state;
    let some = |revision, provisioning: bool| {
        0 < case.count(|route| {
            let status = if provisioning { Provisioning } else { Running };
            Some(route.revision) == revision
                && route.is_live()
                && route.status == status
                && (provisioning || route.health != RouteHealth::Healthy)
        })
    };
    let awaits = |blocker: &Blocker| match blocker {
        Blocker::Paused => case.deployment.paused,
        Blocker::NoRevision => state.current().is_none(),
        Blocker::NoReplicas => case.deployment.target_replicas == 0,
        Blocker::ManualGate { .. } => FlatPhase::of(&state) == FlatPhase::AwaitingPromotion,
        Blocker::ManualStep { .. } => FlatPhase::of(&state) == FlatPhase::Shifting,
        Blocker::GreenProvisioning { .. } => some(state.deploying(), true),
        Blocker::GreenUnhealthy { .. } => some(state.deploying(), false),
        Blocker::NoAddress { .. } => {
            case.count(|it| it.is_live() && it.status == Running && !it.has_address) > 0
        }
        // The new ones have yet to start, or to become ready.
        Blocker::RoutesNotReady { .. } | Blocker::Restarting { .. } => {
            some(state.current(), true) || some(state.current(), false)
        }
        _ => false,
    };
    match state {
        DeploymentState::Destroyed { .. } => true,
        DeploymentState::Destroying { .. } => case.count(|route| route.status == Terminating) > 0,
        DeploymentState::Ready { .. } if evaluation.blockers.is_empty() => {
            ready_and_active(case) == case.deployment.target_replicas
        }
        _ => evaluation.blockers.iter().any(awaits),
    }
}

/// An hour's pause from now on would move every clock of a rollout, and that of a first
/// revision, by an hour.
fn a_pause_stops_the_clocks(case: &DecisionCase, evaluation: &Evaluation) {
    let DecisionCase { deployment, .. } = case;
    let hour = secs(3600);
    let has_clocks = deployment.state.rollout().is_some() || deployment.coming_up.is_some();
    if deployment.paused || !has_clocks {
        return;
    }
    let mut resumed = case.clone();
    resumed.pause(true).expect("it is not paused");
    resumed.now = case.now + hour;
    resumed.pause(false).expect("it is paused");
    let later = resumed.evaluate();
    assert_eq!(
        (
            later.transition.kind,
            FlatPhase::of(&later.transition.deployment.state)
        ),
        (TransitionKind::Step, FlatPhase::of(&deployment.state)),
        "a pause moved it"
    );
    assert_eq!(
        later.deadline,
        evaluation.deadline.map(|at| at + hour),
        "a deadline passed during a pause"
    );
    let gates = |evaluation: &Evaluation| {
        let gate = |blocker: &&Blocker| !matches!(blocker, Blocker::BackOff { .. });
        let mut until = evaluation.blockers.iter().filter(gate);
        until.find_map(Blocker::until)
    };
    assert_eq!(
        gates(&later),
        gates(evaluation).map(|at| at + hour),
        "a gate's clock ran during a pause"
    );
}
