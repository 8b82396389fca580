//! What must hold of every evaluation besides its change: it says why, and it
//! looks again in time.

use std::time::Duration;

use viridian_strategy::{
    Blocker, Evaluation, Health, Lifecycle, State, TransitionKind, evaluate, verbs,
};

use super::{checks::Deed, legal::Place};
use crate::{
    properties::ready_and_active,
    scene::{Provisioning, Running, Scene, Terminating, secs},
};

/// Every invariant of an evaluation that was applied.
pub(crate) fn waits_soundly(deed: &Deed<'_>, evaluation: &Evaluation) {
    let scene = deed.after;
    let now = scene.now;
    let soon = evaluation.wake_at == Some(now);
    assert!(
        evaluation.wake_at.is_none_or(|at| at >= now),
        "to be looked at in the past: {evaluation:?}"
    );
    assert!(
        evaluation.deadline.is_none_or(|at| at > now),
        "I11: past its deadline: {evaluation:?}"
    );
    if deed.before.deployment.paused && !Place::of(&scene.deployment.state).is_gone() {
        holds_still(deed, evaluation);
    }
    says_why(scene, evaluation);
    if soon {
        settles(scene.clone());
    } else {
        is_idempotent(scene, evaluation);
        assert!(
            evaluation.wake_at.is_some() || is_awaited(scene, evaluation),
            "stuck: {evaluation:?}"
        );
        nothing_is_due_before(scene, evaluation);
        a_pause_stops_the_clocks(scene, evaluation);
    }
}

/// While paused nothing changes, and nothing is due.
fn holds_still(deed: &Deed<'_>, evaluation: &Evaluation) {
    let same = deed.before.deployment == deed.after.deployment;
    assert!(same, "moved while paused: {evaluation:?}");
    let idle = evaluation.transition.changes.is_empty() && evaluation.wake_at.is_none();
    assert!(idle, "changed routes while paused: {evaluation:?}");
    assert_eq!(evaluation.blockers.as_slice(), [Blocker::Paused]);
}

fn says_why(scene: &Scene, evaluation: &Evaluation) {
    let complete = ready_and_active(scene) == scene.deployment.target_replicas;
    let at_rest = match scene.deployment.state.lifecycle() {
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
fn is_idempotent(scene: &Scene, evaluation: &Evaluation) {
    let again = scene.evaluate();
    let same = again.transition.changes.is_empty()
        && again.transition.state == scene.deployment.state
        && again.transition.kind == TransitionKind::Step;
    assert!(same, "not idempotent: {evaluation:?}, then {again:?}");
    assert!(
        again.wake_at == evaluation.wake_at || again.wake_at.is_some_and(|at| at > scene.now),
        "wakes at another time: {evaluation:?}, then {again:?}"
    );
}

/// Without an event nothing changes until it is to be looked at again.
fn nothing_is_due_before(scene: &Scene, evaluation: &Evaluation) {
    let month = secs(30 * 24 * 3600);
    let before = match evaluation.wake_at {
        Some(wake_at) => wake_at - Duration::from_micros(1),
        None => scene.now + month,
    };
    let Scene {
        deployment, policy, ..
    } = scene;
    let then = evaluate(deployment, &scene.loaded(), policy, before);
    let same = then.transition.changes.is_empty()
        && Place::of(&then.transition.state) == Place::of(&deployment.state);
    assert!(
        same,
        "due before it is looked at: {evaluation:?}, then {then:?}"
    );
}

/// Evaluations that ask for another one at once come to an end.
fn settles(mut scene: Scene) {
    for _ in 0..3 {
        let evaluation = scene.cycle();
        if evaluation.wake_at.is_none_or(|at| at > scene.now) {
            return is_idempotent(&scene, &evaluation);
        }
    }
    panic!("does not settle");
}

/// Without a time to look again, something else will move it on, or all is done.
fn is_awaited(scene: &Scene, evaluation: &Evaluation) -> bool {
    let state = scene.deployment.state;
    let some = |revision, provisioning: bool| {
        0 < scene.count(|route| {
            let status = if provisioning { Provisioning } else { Running };
            Some(route.revision) == revision
                && route.is_live()
                && route.status == status
                && (provisioning || route.health != Health::Healthy)
        })
    };
    let awaits = |blocker: &Blocker| match blocker {
        Blocker::Paused => scene.deployment.paused,
        Blocker::NoRevision => state.current().is_none(),
        Blocker::ManualGate { .. } => Place::of(&state) == Place::AwaitingPromotion,
        Blocker::GreenProvisioning { .. } => some(state.deploying(), true),
        Blocker::GreenUnhealthy { .. } => some(state.deploying(), false),
        Blocker::RoutesNotReady { .. } => {
            some(state.current(), true) || some(state.current(), false)
        }
        _ => false,
    };
    match state {
        State::Destroyed { .. } => true,
        State::Destroying { .. } => scene.count(|route| route.status == Terminating) > 0,
        State::Ready { .. } if evaluation.blockers.is_empty() => {
            ready_and_active(scene) == scene.deployment.target_replicas
        }
        _ => evaluation.blockers.iter().any(awaits),
    }
}

/// An hour's pause from now on would move every clock of the rollout by an hour.
fn a_pause_stops_the_clocks(scene: &Scene, evaluation: &Evaluation) {
    let Scene {
        deployment,
        policy,
        now,
        ..
    } = scene;
    let hour = secs(3600);
    if deployment.paused || deployment.state.rollout().is_none() {
        return;
    }
    let paused = verbs::pause(deployment, *now).expect("it is not paused");
    let resumed = verbs::resume(&paused, *now + hour).expect("it is paused");
    let later = evaluate(&resumed, &scene.loaded(), policy, *now + hour);
    assert_eq!(
        (later.transition.kind, Place::of(&later.transition.state)),
        (TransitionKind::Step, Place::of(&deployment.state)),
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
