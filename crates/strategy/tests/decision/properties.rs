//! What holds whatever happens. Two kinds of cases: single cases, likely or
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
    Blocker, BlueGreen, DeploymentState, Evaluation, IntOrPercent, ObservedDeployment,
    ObservedRoute, Policy, RevisionId, RollingUpdate, RolloutKind, RouteHealth, RouteStatus,
    RouteTraffic, Strategy as PolicyStrategy, TransitionKind, UnreadyRoutes,
};

use crate::{
    bounds,
    case::{
        BLUE, DecisionCase, Healthy, Provisioning, Running, Terminated, Terminating, case, secs,
    },
    random::{RandomEvent, any_case, blue_green, event, rolling},
};

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn one_evaluation_of_any_scene(case in any_case()) {
        checked_settle(&mut case.clone())?;
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
        live(PolicyStrategy::BlueGreen(spec), target, events)?;
    }

    #[test]
    fn a_life_with_rolling(
        spec in rolling(),
        target in 0_u32..7,
        events in vec(event(), 1..60),
    ) {
        live(PolicyStrategy::Rolling(spec), target, events)?;
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

fn live(
    strategy: PolicyStrategy,
    target: u32,
    events: Vec<RandomEvent>,
) -> Result<(), TestCaseError> {
    let mut case = case(DeploymentState::Pending { current: None }, target, []);
    case.policy = Policy {
        strategy,
        progress_deadline: secs(300),
        ..Policy::default()
    };
    let first = case.try_activate(BLUE, false);
    case.apply(&first.expect("nothing is in the way"));
    for event in events {
        happen(&mut case, event)?;
        checked_settle(&mut case)?;
    }
    converges(case)
}

fn happen(case: &mut DecisionCase, event: RandomEvent) -> Result<(), TestCaseError> {
    match event {
        RandomEvent::Report(number, status, health) if !case.routes.is_empty() => {
            let id = number % case.routes.len() + 1;
            legally(case, id, status, health);
        }
        RandomEvent::Report(..) => {}
        RandomEvent::ReportAll(from, to, health) => {
            for id in 1..=case.routes.len() {
                if case.routes[id - 1].status == from {
                    legally(case, id, to, health);
                }
            }
        }
        RandomEvent::Pass(seconds) => {
            let end = case.now + secs(seconds);
            while let Some(next) = checked_settle(case)?.wake_at.filter(|next| *next <= end) {
                case.now = next;
            }
            case.now = end;
        }
        RandomEvent::Activate {
            revision,
            supersede,
        } => {
            let revision = RevisionId(Uuid::from_u128(revision));
            if let Ok(transition) = case.try_activate(revision, supersede) {
                case.apply(&transition);
                snapshot_is_sound(case)?;
            }
        }
        RandomEvent::Promote => {
            let ready = deploying_count(case, ObservedRoute::is_ready);
            let target = case.deployment.target_replicas;
            if case.do_promote().is_ok() {
                let least = least_ready(&case.policy, target);
                prop_assert!(!case.deployment.paused && ready >= least);
                snapshot_is_sound(case)?;
                let serving = ready_and_active(case);
                prop_assert!((least..=target).contains(&serving), "I1: at a promotion");
            }
        }
        RandomEvent::Scale(target) => case.deployment.target_replicas = target,
        RandomEvent::Pause(paused) => {
            let was = case.deployment.paused;
            prop_assert_eq!(case.pause(paused).is_ok(), was != paused);
        }
        RandomEvent::Settings(spec) => {
            if let PolicyStrategy::BlueGreen(old) = &mut case.policy.strategy {
                *old = spec;
            }
        }
    }
    Ok(())
}

/// A report, if the store would take it.
fn legally(case: &mut DecisionCase, id: usize, status: RouteStatus, health: RouteHealth) {
    let from = case.routes[id - 1].status;
    if !from.is_over() && (from == status || from.may_become(status)) {
        case.report(id, status, health);
    }
}

/// Settles, and checks each evaluation on the way and the state at the end.
fn checked_settle(case: &mut DecisionCase) -> Result<Evaluation, TestCaseError> {
    for _ in 0..4 {
        let before = case.clone();
        let evaluation = case.cycle();
        prop_assert_eq!(&before.evaluate(), &evaluation, "same input, same output");
        snapshot_is_sound(case)?;
        takes_no_more_than_it_may(&before, case, &evaluation)?;
        let bounded = bounds::check(
            &before.deployment,
            &before.policy,
            &before.routes,
            &evaluation.transition,
        );
        prop_assert_eq!(bounded, Ok(()), "{:?}", evaluation);
        let again = case.evaluate();
        prop_assert!(
            again.transition.actions.is_empty(),
            "not idempotent: {again:?}"
        );
        prop_assert_eq!(
            again.transition.deployment.state,
            case.deployment.state,
            "not idempotent"
        );
        prop_assert_eq!(again.transition.kind, TransitionKind::Step);
        if evaluation.wake_at.is_none_or(|wake_at| wake_at > case.now) {
            prop_assert!(
                waits_for_something(case, &evaluation),
                "stuck: {evaluation:?}"
            );
            return Ok(evaluation);
        }
    }
    Err(TestCaseError::fail(format!("does not settle: {case:#?}")))
}

/// I2, I4, I5.
fn snapshot_is_sound(case: &DecisionCase) -> Result<(), TestCaseError> {
    let active = || {
        case.routes
            .iter()
            .filter(|route| route.traffic == RouteTraffic::Active)
    };
    prop_assert!(active().all(|route| route.status.is_active()), "I5");
    let mut revisions: Vec<RevisionId> = active().map(|route| route.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    if matches!(case.policy.strategy, PolicyStrategy::BlueGreen(_)) {
        prop_assert!(revisions.len() <= 1, "I2: {revisions:?} are ACTIVE");
    }
    if let DeploymentState::Ready { current } = case.deployment.state {
        prop_assert!(revisions.iter().all(|revision| *revision == current), "I4");
    }
    Ok(())
}

/// I1, I10, and the bounds of rolling.
fn takes_no_more_than_it_may(
    before: &DecisionCase,
    after: &DecisionCase,
    evaluation: &Evaluation,
) -> Result<(), TestCaseError> {
    let target = after.deployment.target_replicas;
    let kind = evaluation.transition.kind;
    let actions = &evaluation.transition.actions;
    let (surge, unavailable) = match &after.policy.strategy {
        PolicyStrategy::BlueGreen(_) | PolicyStrategy::Canary(_) => (target, 0),
        PolicyStrategy::Rolling(spec) => resolved(spec, target),
    };
    if let DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } =
        after.deployment.state
    {
        return Ok(());
    }
    let least = if kind == TransitionKind::Promotion {
        least_ready(&after.policy, target)
    } else {
        target
    };
    let least = ready_and_active(before).min(least.saturating_sub(unavailable));
    prop_assert!(ready_and_active(after) >= least, "I1: {evaluation:?}");
    match after.policy.strategy {
        PolicyStrategy::BlueGreen(_) | PolicyStrategy::Canary(_)
            if kind == TransitionKind::Promotion =>
        {
            let least = least_ready(&after.policy, target);
            let serving = ready_and_active(after);
            prop_assert!((least..=target).contains(&serving), "I1: at a promotion");
        }
        PolicyStrategy::BlueGreen(_) | PolicyStrategy::Canary(_)
            if kind == TransitionKind::RollBack =>
        {
            let green = before.deployment.state.deploying();
            let live =
                |route: &ObservedRoute| Some(route.revision) == green && route.status.is_active();
            prop_assert_eq!(after.count(live), 0, "I10: green is active");
            prop_assert!(actions.promote.is_empty() && actions.retain.is_empty());
            let current = before.deployment.state.current();
            let blue = |route: &ObservedRoute| Some(route.revision) == current && route.is_live();
            let stay = before.count(blue).min(target);
            prop_assert!(after.count(blue) >= stay, "I10: blue was touched");
        }
        PolicyStrategy::Rolling(_) if !actions.create.is_empty() => {
            let live = after.count(|route| route.status.is_active());
            prop_assert!(live <= target + surge, "{live} are live");
        }
        PolicyStrategy::BlueGreen(_) | PolicyStrategy::Canary(_) | PolicyStrategy::Rolling(_) => {}
    }
    Ok(())
}

/// Whether time, a report or a person will move it on, or all is done.
fn waits_for_something(case: &DecisionCase, evaluation: &Evaluation) -> bool {
    let some_run = |unready: UnreadyRoutes| unready != UnreadyRoutes::default();
    let awaits = |blocker: &Blocker| match *blocker {
        Blocker::Paused
        | Blocker::NoRevision
        | Blocker::NoReplicas
        | Blocker::ManualGate { .. }
        | Blocker::ManualStep { .. } => true,
        Blocker::GreenProvisioning { provisioning, .. } => provisioning > 0,
        Blocker::GreenUnhealthy { unready, .. } => some_run(unready),
        Blocker::RoutesNotReady {
            provisioning,
            unready,
            ..
        } => provisioning > 0 || some_run(unready),
        // Its replacement has yet to start, or to become ready.
        Blocker::Restarting { .. } => case.count(|route| !route.is_ready()) > 0,
        _ => false,
    };
    match case.deployment.state {
        DeploymentState::Destroyed { .. } => true,
        DeploymentState::Destroying { .. } => case.count(|route| route.status == Terminating) > 0,
        _ if evaluation.wake_at.is_some() => true,
        DeploymentState::Ready { .. } if evaluation.blockers.is_empty() => {
            ready_and_active(case) == case.deployment.target_replicas
        }
        _ => evaluation.blockers.iter().any(awaits),
    }
}

/// Once routes keep coming up, it becomes READY, complete and quiet.
fn converges(mut case: DecisionCase) -> Result<(), TestCaseError> {
    let _not_paused = case.pause(false);
    for _ in 0..60 {
        for (from, to) in [
            (Provisioning, Running),
            (Running, Running),
            (Terminating, Terminated),
        ] {
            happen(&mut case, RandomEvent::ReportAll(from, to, Healthy))?;
        }
        let evaluation = checked_settle(&mut case)?;
        let gate = |blocker: &Blocker| matches!(blocker, Blocker::ManualGate { .. });
        if evaluation.blockers.contains(&Blocker::NoReplicas) {
            happen(&mut case, RandomEvent::Scale(2))?;
        } else if evaluation.blockers.iter().any(gate) {
            happen(&mut case, RandomEvent::Promote)?;
        } else if let Some(wake_at) = evaluation.wake_at {
            case.now = wake_at;
        } else if case.is_ready() && evaluation.blockers.is_empty() {
            return Ok(());
        }
    }
    Err(TestCaseError::fail(format!("does not converge: {case:#?}")))
}

pub(crate) fn ready_and_active(case: &DecisionCase) -> u32 {
    case.count(|route| route.traffic == RouteTraffic::Active && route.is_ready())
}

fn deploying_count(case: &DecisionCase, which: impl Fn(&ObservedRoute) -> bool) -> u32 {
    let deploying = case.deployment.state.deploying();
    case.count(|route| Some(route.revision) == deploying && which(route))
}

/// Whether fewer than all may take the traffic.
pub(crate) fn has_threshold(policy: &Policy) -> bool {
    switch_of(policy).is_some_and(|switch| switch.ready_threshold.is_some())
}

/// How a strategy switches all of the traffic at once, if it does.
pub(crate) fn switch_of(policy: &Policy) -> Option<BlueGreen> {
    match &policy.strategy {
        PolicyStrategy::BlueGreen(spec) => Some(*spec),
        PolicyStrategy::Canary(spec) => Some(spec.switch),
        PolicyStrategy::Rolling(_) => None,
    }
}

/// What the design says of the threshold, once more: all, with rolling too.
pub(crate) fn least_ready(policy: &Policy, target: u32) -> u32 {
    let Some(spec) = switch_of(policy) else {
        return target;
    };
    let least = match spec.ready_threshold {
        None => target,
        Some(IntOrPercent::Count(count)) => count,
        Some(IntOrPercent::Percent(percent)) => {
            (f64::from(target) * f64::from(percent) / 100.0).ceil() as u32
        }
    };
    least.max(1).min(target)
}

/// What the design says of the steps of a canary, once more: how many green one needs, and how
/// many of them have to be ready. A step past the last one is the promotion. Where no number is
/// asked for, the share that green has is carried by its part of the target.
pub(crate) fn needed_green(policy: &Policy, step: u32, share: u16, target: u32) -> (u32, u32) {
    let all = (target, least_ready(policy, target));
    let PolicyStrategy::Canary(spec) = &policy.strategy else {
        return all;
    };
    if step as usize > spec.steps.len() {
        return all;
    }
    let mut needed = 0;
    for step in &spec.steps[..step as usize] {
        let asked = match step.replicas {
            None => f64::from(target) * f64::from(step.weight_permille) / 1_000.0,
            Some(IntOrPercent::Count(count)) => f64::from(count),
            Some(IntOrPercent::Percent(percent)) => f64::from(target) * f64::from(percent) / 100.0,
        };
        needed = needed.max(asked.ceil() as u32).max(1);
    }
    let last = spec.steps[..step as usize].last();
    if last.is_some_and(|step| step.replicas.is_none()) {
        let carries = f64::from(target) * f64::from(share) / 1_000.0;
        needed = needed.max(carries.ceil() as u32);
    }
    (needed.min(target), needed.min(target))
}

/// The same for what green is brought up for now.
pub(crate) fn needed_now(case: &DecisionCase) -> (u32, u32) {
    needed_by(&case.deployment, &case.policy)
}

/// The same, of a deployment with a policy.
pub(crate) fn needed_by(deployment: &ObservedDeployment, policy: &Policy) -> (u32, u32) {
    let target = deployment.target_replicas;
    let rollout = deployment.state.rollout();
    let ungated = rollout.is_some_and(|it| it.kind == RolloutKind::Back { gated: false });
    let step = rollout.map_or(0, |it| it.canary.towards);
    let share = rollout.and_then(|it| it.canary.weight).unwrap_or(0);
    needed_green(policy, if ungated { u32::MAX } else { step }, share, target)
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
