//! What holds whatever happens. Two kinds of cases: single scenes, likely or
//! not, and whole lives, in which routes come up, fail, flap and vanish while
//! callers activate, promote, scale and pause. After each event the deployment
//! is settled, and every evaluation on the way is checked.
//!
//! The seed is fixed, so that a run is the same everywhere; others are tried by
//! `PROPTEST_RNG_SEED` and more by `PROPTEST_CASES`.

use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngSeed},
};
use uuid::Uuid;
use viridian_strategy::{
    Blocker, Evaluation, Health, IntOrPercent, Policy, RevisionId, RollingUpdate, Route,
    RouteStatus, State, Strategy as Way, Traffic, TransitionKind, Unready, verbs,
};

use crate::{
    random::{Event, any_scene, blue_green, event, rolling},
    scene::{BLUE, Healthy, Provisioning, Running, Scene, Terminated, Terminating, scene, secs},
};

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn one_evaluation_of_any_scene(scene in any_scene()) {
        checked_settle(&mut scene.clone())?;
    }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_life_with_blue_green(
        spec in blue_green(),
        target in 0_u32..5,
        events in vec(event(), 1..60),
    ) {
        live(Way::BlueGreen(spec), target, events)?;
    }

    #[test]
    fn a_life_with_rolling(
        spec in rolling(),
        target in 0_u32..7,
        events in vec(event(), 1..60),
    ) {
        live(Way::Rolling(spec), target, events)?;
    }
}

fn config(cases: u32) -> Config {
    let config = Config::default();
    let unset = |name| std::env::var_os(name).is_none();
    Config {
        cases: if unset("PROPTEST_CASES") {
            cases
        } else {
            config.cases
        },
        rng_seed: if unset("PROPTEST_RNG_SEED") {
            RngSeed::Fixed(20_26)
        } else {
            config.rng_seed
        },
        failure_persistence: None,
        ..config
    }
}

fn live(way: Way, target: u32, events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut scene = scene(State::Pending { current: None }, target, []);
    scene.policy = Policy {
        strategy: way,
        progress_deadline: secs(300),
        ..Policy::default()
    };
    let first = verbs::activate(
        &scene.deployment,
        &[],
        &scene.policy,
        BLUE,
        false,
        scene.now,
    );
    scene.apply(&first.expect("nothing is in the way"));
    for event in events {
        happen(&mut scene, event)?;
        checked_settle(&mut scene)?;
    }
    converges(scene)
}

fn happen(scene: &mut Scene, event: Event) -> Result<(), TestCaseError> {
    match event {
        Event::Report(number, status, health) if !scene.routes.is_empty() => {
            let id = number % scene.routes.len() + 1;
            legally(scene, id, status, health);
        }
        Event::Report(..) => {}
        Event::ReportAll(from, to, health) => {
            for id in 1..=scene.routes.len() {
                if scene.routes[id - 1].status == from {
                    legally(scene, id, to, health);
                }
            }
        }
        Event::Pass(seconds) => {
            let end = scene.now + secs(seconds);
            while let Some(next) = checked_settle(scene)?.wake_at.filter(|next| *next <= end) {
                scene.now = next;
            }
            scene.now = end;
        }
        Event::Activate {
            revision,
            supersede,
        } => {
            let revision = RevisionId(Uuid::from_u128(revision));
            if let Ok(transition) = scene.try_activate(revision, supersede) {
                scene.apply(&transition);
                snapshot_is_sound(scene)?;
            }
        }
        Event::Promote => {
            let ready = deploying_count(scene, Route::is_ready);
            let target = scene.deployment.target_replicas;
            if scene.do_promote().is_ok() {
                prop_assert!(!scene.deployment.paused && ready >= target);
                snapshot_is_sound(scene)?;
                prop_assert_eq!(ready_and_active(scene), target, "I1: at a promotion");
            }
        }
        Event::Scale(target) => scene.deployment.target_replicas = target,
        Event::Pause(paused) => {
            let was = scene.deployment.paused;
            prop_assert_eq!(scene.pause(paused).is_ok(), was != paused);
        }
        Event::Settings(spec) => {
            if let Way::BlueGreen(old) = &mut scene.policy.strategy {
                *old = spec;
            }
        }
    }
    Ok(())
}

/// A report, if the store would take it.
fn legally(scene: &mut Scene, id: usize, status: RouteStatus, health: Health) {
    let from = scene.routes[id - 1].status;
    if !from.is_over() && (from == status || from.may_become(status)) {
        scene.report(id, status, health);
    }
}

/// Settles, and checks each evaluation on the way and the state at the end.
fn checked_settle(scene: &mut Scene) -> Result<Evaluation, TestCaseError> {
    for _ in 0..4 {
        let before = scene.clone();
        let evaluation = scene.cycle();
        prop_assert_eq!(&before.evaluate(), &evaluation, "same input, same output");
        snapshot_is_sound(scene)?;
        takes_no_more_than_it_may(&before, scene, &evaluation)?;
        let again = scene.evaluate();
        prop_assert!(
            again.transition.changes.is_empty(),
            "not idempotent: {again:?}"
        );
        prop_assert_eq!(
            again.transition.state,
            scene.deployment.state,
            "not idempotent"
        );
        prop_assert_eq!(again.transition.kind, TransitionKind::Step);
        if evaluation.wake_at.is_none_or(|wake_at| wake_at > scene.now) {
            prop_assert!(
                waits_for_something(scene, &evaluation),
                "stuck: {evaluation:?}"
            );
            return Ok(evaluation);
        }
    }
    Err(TestCaseError::fail(format!("does not settle: {scene:#?}")))
}

/// I2, I4, I5.
fn snapshot_is_sound(scene: &Scene) -> Result<(), TestCaseError> {
    let active = || {
        scene
            .routes
            .iter()
            .filter(|route| route.traffic == Traffic::Active)
    };
    prop_assert!(active().all(|route| route.status.is_active()), "I5");
    let mut revisions: Vec<RevisionId> = active().map(|route| route.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    if matches!(scene.policy.strategy, Way::BlueGreen(_)) {
        prop_assert!(revisions.len() <= 1, "I2: {revisions:?} are ACTIVE");
    }
    if let State::Ready { current } = scene.deployment.state {
        prop_assert!(revisions.iter().all(|revision| *revision == current), "I4");
    }
    Ok(())
}

/// I1, I10, and the bounds of rolling.
fn takes_no_more_than_it_may(
    before: &Scene,
    after: &Scene,
    evaluation: &Evaluation,
) -> Result<(), TestCaseError> {
    let target = after.deployment.target_replicas;
    let kind = evaluation.transition.kind;
    let changes = &evaluation.transition.changes;
    let (surge, unavailable) = match after.policy.strategy {
        Way::BlueGreen(_) => (target, 0),
        Way::Rolling(spec) => resolved(&spec, target),
    };
    if let State::Destroying { .. } | State::Destroyed { .. } = after.deployment.state {
        return Ok(());
    }
    let least = ready_and_active(before).min(target.saturating_sub(unavailable));
    prop_assert!(ready_and_active(after) >= least, "I1: {evaluation:?}");
    match after.policy.strategy {
        Way::BlueGreen(_) if kind == TransitionKind::Promotion => {
            prop_assert_eq!(ready_and_active(after), target, "I1: at a promotion");
        }
        Way::BlueGreen(_) if kind == TransitionKind::RollBack => {
            let green = before.deployment.state.deploying();
            let live = |route: &Route| Some(route.revision) == green && route.status.is_active();
            prop_assert_eq!(after.count(live), 0, "I10: green is active");
            prop_assert!(changes.promote.is_empty() && changes.retain.is_empty());
            let current = before.deployment.state.current();
            let blue = |route: &Route| Some(route.revision) == current && route.is_live();
            let stay = before.count(blue).min(target);
            prop_assert!(after.count(blue) >= stay, "I10: blue was touched");
        }
        Way::Rolling(_) if !changes.rollout.is_empty() => {
            let live = after.count(|route| route.status.is_active());
            prop_assert!(live <= target + surge, "{live} are live");
        }
        Way::BlueGreen(_) | Way::Rolling(_) => {}
    }
    Ok(())
}

/// Whether time, a report or a person will move it on, or all is done.
fn waits_for_something(scene: &Scene, evaluation: &Evaluation) -> bool {
    let some_run = |unready: Unready| unready != Unready::default();
    let awaits = |blocker: &Blocker| match *blocker {
        Blocker::Paused | Blocker::NoRevision | Blocker::ManualGate { .. } => true,
        Blocker::GreenProvisioning { provisioning, .. } => provisioning > 0,
        Blocker::GreenUnhealthy { unready, .. } => some_run(unready),
        Blocker::RoutesNotReady {
            provisioning,
            unready,
            ..
        } => provisioning > 0 || some_run(unready),
        _ => false,
    };
    match scene.deployment.state {
        State::Destroyed { .. } => true,
        State::Destroying { .. } => scene.count(|route| route.status == Terminating) > 0,
        _ if evaluation.wake_at.is_some() => true,
        State::Ready { .. } if evaluation.blockers.is_empty() => {
            ready_and_active(scene) == scene.deployment.target_replicas
        }
        _ => evaluation.blockers.iter().any(awaits),
    }
}

/// Once routes keep coming up, it becomes READY, complete and quiet.
fn converges(mut scene: Scene) -> Result<(), TestCaseError> {
    let _not_paused = scene.pause(false);
    for _ in 0..60 {
        for (from, to) in [
            (Provisioning, Running),
            (Running, Running),
            (Terminating, Terminated),
        ] {
            happen(&mut scene, Event::ReportAll(from, to, Healthy))?;
        }
        let evaluation = checked_settle(&mut scene)?;
        let gate = |blocker: &Blocker| matches!(blocker, Blocker::ManualGate { .. });
        if evaluation.blockers.iter().any(gate) {
            happen(&mut scene, Event::Promote)?;
        } else if let Some(wake_at) = evaluation.wake_at {
            scene.now = wake_at;
        } else if scene.is_ready() && evaluation.blockers.is_empty() {
            return Ok(());
        }
    }
    Err(TestCaseError::fail(format!(
        "does not converge: {scene:#?}"
    )))
}

fn ready_and_active(scene: &Scene) -> u32 {
    scene.count(|route| route.traffic == Traffic::Active && route.is_ready())
}

fn deploying_count(scene: &Scene, which: impl Fn(&Route) -> bool) -> u32 {
    let deploying = scene.deployment.state.deploying();
    scene.count(|route| Some(route.revision) == deploying && which(route))
}

/// What the design says of surge and unavailable, once more.
pub(crate) fn resolved(spec: &RollingUpdate, target: u32) -> (u32, u32) {
    let share = |percent: u32| f64::from(target) * f64::from(percent) / 100.0;
    let surge = match spec.max_surge {
        IntOrPercent::Count(count) => count,
        IntOrPercent::Percent(percent) => share(percent).ceil() as u32,
    };
    let unavailable = match spec.max_unavailable {
        IntOrPercent::Count(count) => count,
        IntOrPercent::Percent(percent) => share(percent).floor() as u32,
    };
    if (surge, unavailable) == (0, 0) {
        (0, 1)
    } else {
        (surge, unavailable)
    }
}
