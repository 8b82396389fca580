//! What must hold: on every step, and in the state after it.

use viridian_strategy::{
    DeploymentState, Lifecycle, NewRoutes, ObservedRoute, Policy, Reason, RolloutKind, RouteId,
    RouteStatus, RouteTraffic, ServedChange, Strategy, Transition, TransitionKind,
};

use super::{
    canary,
    config::ModelConfig,
    evidence, moves, rest,
    state::{ModelAction, ModelState, ModelStep, is_ready},
    timing,
};
use crate::{
    bounds,
    properties::{has_threshold, least_ready, needed_by, resolved, switch_of},
};

/// What is broken, if something is.
pub(super) type RuleResult = Result<(), String>;

/// Every rule.
pub(super) fn check(before: &ModelState, step: &ModelStep, config: &ModelConfig) -> RuleResult {
    let policy = before.policy(config);
    moves::check(before, step, config)?;
    records(before, step)?;
    snapshot(&step.after, config)?;
    canary::shares_are_sound(&step.after, config)?;
    if let Some(transition) = &step.transition {
        fits(before, transition, policy)?;
        keeps_serving(before, step, transition, policy)?;
        if step.action == ModelAction::Evaluate {
            let routes: Vec<ObservedRoute> = before.routes().copied().collect();
            bounds::check(&before.deployment, policy, &routes, transition)?;
        }
        promotes_all(before, step.action, &step.after, transition, policy)?;
        rolls_back_all(before, &step.after, transition, policy)?;
        keeps_what_is_kept(before, step, transition, config)?;
        replaces_within_the_budget(before, step, transition, policy)?;
        evidence::rests_on_evidence(before, step, transition, config)?;
    }
    evidence::later_observation_wins(before, step)?;
    evidence::new_session_is_not_checked(step)?;
    evidence::silence_ends_a_health(step)?;
    evidence::missing_reports_are_no_loss(before, step, config)?;
    timing::check(before, step, config)?;
    rest::check(before, step, config)
}

pub(super) fn ensure(holds: bool, broken: &str) -> RuleResult {
    if holds { Ok(()) } else { Err(broken.into()) }
}

/// The generation moves once with every call, and with every promotion and
/// roll-back; the time of the last switch moves with the traffic.
fn records(before: &ModelState, step: &ModelStep) -> RuleResult {
    let (was, is) = (&before.deployment, &step.after.deployment);
    let kind = step.transition.as_ref().map(|transition| transition.kind);
    let called = step.action.is_call();
    let ended =
        kind.is_some_and(|kind| kind != TransitionKind::Step && kind != TransitionKind::Shift);
    ensure(
        is.generation - was.generation == i64::from(called || ended),
        "the generation moves otherwise than once for a call, a promotion, a roll-back",
    )?;
    let switched = matches!(
        kind,
        Some(TransitionKind::Promotion | TransitionKind::InstantRollBack)
    );
    // At N = 0 a revision that was READY gives way without a promotion.
    let gave_way = kind == Some(TransitionKind::Step)
        && is.state.current() != was.state.current()
        && is.state.lifecycle() == Lifecycle::Ready;
    let expected = if switched {
        Some(before.now)
    } else {
        was.promoted_at
    };
    ensure(
        is.promoted_at == expected,
        "records another time than that of the switch",
    )?;
    let served = step.transition.as_ref().map(|transition| transition.served);
    let back = match step.action {
        ModelAction::RollBack(revision, _)
            if gave_way || kind == Some(TransitionKind::InstantRollBack) =>
        {
            ServedChange::BackTo(revision)
        }
        _ if gave_way => (was.state.current()).map_or(ServedChange::Same, ServedChange::Push),
        _ => expected_served(before, kind),
    };
    ensure(
        served.is_none_or(|served| served == back),
        "records other revisions that served",
    )
}

/// A promotion pushes what served; every way back pops, and never pushes what it left.
fn expected_served(before: &ModelState, kind: Option<TransitionKind>) -> ServedChange {
    let rollout = before.deployment.state.rollout();
    match (kind, rollout) {
        (Some(TransitionKind::Promotion), Some(rollout)) => match rollout.kind {
            RolloutKind::Forward => ServedChange::Push(rollout.current),
            RolloutKind::Back { .. } => ServedChange::BackTo(rollout.deploying),
        },
        _ => ServedChange::Same,
    }
}

/// I2, I3, I4 and I5.
fn snapshot(model: &ModelState, config: &ModelConfig) -> RuleResult {
    let state = &model.deployment.state;
    let active = || {
        model
            .routes()
            .filter(|one| one.traffic == RouteTraffic::Active)
    };
    let blue_green = matches!(model.policy(config).strategy, Strategy::BlueGreen(_));
    let first = active().next().map(|route| route.revision);
    let lifecycle = state.lifecycle();
    let deploying = lifecycle == Lifecycle::Deploying;
    ensure(
        active().all(|route| route.status.is_active()),
        "I5: a route that is not running is ACTIVE",
    )?;
    ensure(
        !blue_green || active().all(|route| Some(route.revision) == first),
        "I2: routes of two revisions are ACTIVE",
    )?;
    ensure(
        state.deploying().is_some() == deploying && state.sub_step().is_some() == deploying,
        "I3: DEPLOYING, and not all that belongs to it",
    )?;
    ensure(
        lifecycle != Lifecycle::Ready || active().all(|one| Some(one.revision) == state.current()),
        "I4: READY, and a route of another revision is ACTIVE",
    )
}

/// What the store's statements ask of the rows that they change.
fn fits(before: &ModelState, transition: &Transition, policy: &Policy) -> RuleResult {
    let actions = &transition.actions;
    let all = |ids: &[RouteId], fits: &dyn Fn(&ObservedRoute) -> bool| {
        ids.iter()
            .all(|id| before.routes().any(|route| route.id == *id && fits(route)))
    };
    let lists = [
        &actions.promote,
        &actions.retain,
        &actions.reuse,
        &actions.drain,
    ];
    let named_once = lists.into_iter().flatten().all(|id| {
        let again = lists.into_iter().flatten().filter(|other| *other == id);
        again.count() == 1
    });
    ensure(named_once, "a route is named twice")?;
    ensure(
        all(&actions.promote, &|route| {
            let comes_later = route.is_live() && has_threshold(policy);
            (is_ready(route) || comes_later) && route.traffic == RouteTraffic::Inactive
        }),
        "promotes a route that is not ready, or is ACTIVE",
    )?;
    ensure(
        all(&actions.reuse, &|route| {
            is_ready(route) && route.retained_at.is_some()
        }),
        "reuses a route that is not ready, or not retained",
    )?;
    ensure(
        all(&actions.retain, &|route| {
            route.status == RouteStatus::Running && route.drained_at.is_none()
        }) && all(&actions.drain, &|route| route.status.is_active()),
        "drains or retains a route that is not there",
    )?;
    ensure(
        actions.create.iter().all(|new| new.count > 0),
        "creates nothing",
    )
}

/// I1, and the bounds of rolling. A deletion takes what there is, on purpose.
fn keeps_serving(
    before: &ModelState,
    step: &ModelStep,
    transition: &Transition,
    policy: &Policy,
) -> RuleResult {
    let target = before.deployment.target_replicas;
    let (surge, unavailable) = match &policy.strategy {
        Strategy::BlueGreen(_) | Strategy::Canary(_) => (target, 0),
        Strategy::Rolling(spec) => resolved(spec, target),
    };
    // The share of a canary is what every way back gives up: blue counts.
    let green = before.deployment.state.deploying();
    let shares = matches!(policy.strategy, Strategy::Canary(_))
        && transition.kind != TransitionKind::Promotion;
    let counts = |route: &ObservedRoute| {
        ModelState::is_ready_and_active(route) && !(shares && Some(route.revision) == green)
    };
    let was = before.count(counts);
    let is = step.after.count(counts);
    let wanted = if transition.kind == TransitionKind::Promotion {
        least_ready(policy, target)
    } else {
        target
    };
    let activates = matches!(
        step.action,
        ModelAction::Activate(..) | ModelAction::RollBack(..)
    );
    let replaces = activates && !step.after.is_deploying();
    if transition.kind == TransitionKind::InstantRollBack {
        ensure(is >= was.min(target).max(1), "I1: an instant roll-back")?;
    } else if replaces {
        replaces_nothing_good(before, &step.after)?;
    } else if step.action != ModelAction::Delete {
        let least = was.min(wanted.saturating_sub(unavailable));
        // A new one that is ready replaces what a caller wants out, also where others
        // are not ready.
        let requested = before.count(|route| {
            route.drain_requested_at.is_some() && transition.actions.drain.contains(&route.id)
        });
        ensure(
            is + requested >= least,
            "I1: fewer are ready and ACTIVE than must be",
        )?;
    }
    let rolls = matches!(policy.strategy, Strategy::Rolling(_)) && !replaces;
    let live = step.after.count(|route| route.status.is_active());
    let replaces_some = before
        .count(|route| bounds::is_outgoing(&before.deployment, policy, before.now, route))
        > 0;
    let exchange = if replaces_some {
        bounds::exchange_surge(&step.after.deployment, policy, step.after.routes())
    } else {
        0
    };
    ensure(
        !rolls || transition.actions.create.is_empty() || live <= target + surge.max(exchange),
        "creates more than the surge allows",
    )
}

/// An activation without the strategy: nothing serves, and nothing was ever good, or there
/// are to be no replicas.
fn replaces_nothing_good(before: &ModelState, after: &ModelState) -> RuleResult {
    let pending = after.deployment.state.lifecycle() == Lifecycle::Pending;
    ensure(
        before.count(ModelState::is_ready_and_active) == 0,
        "replaces directly what serves",
    )?;
    ensure(
        pending || before.deployment.target_replicas == 0,
        "replaces directly what may be good",
    )
}

/// A promotion, of either kind and by either hand.
fn promotes_all(
    before: &ModelState,
    action: ModelAction,
    after: &ModelState,
    transition: &Transition,
    policy: &Policy,
) -> RuleResult {
    if transition.kind != TransitionKind::Promotion {
        return Ok(());
    }
    let target = before.deployment.target_replicas;
    let deploying = before.deployment.state.deploying();
    ensure(!before.deployment.paused, "promotes during a pause")?;
    ensure(
        after.deployment.state.current() == deploying,
        "promotes another revision than the one on its way",
    )?;
    ensure(
        target > 0 || action == ModelAction::Promote,
        "proved by zero replicas",
    )?;
    let is = after.count(ModelState::is_ready_and_active);
    if let Strategy::Rolling(_) = policy.strategy {
        return ensure(is >= target, "I1: fewer than N serve at a promotion");
    }
    let least = least_ready(policy, target);
    ensure(
        (least..=target).contains(&is),
        "I1: fewer serve at a promotion than its threshold, or more than N",
    )?;
    let active = after.count(|route| route.traffic == RouteTraffic::Active);
    let live = after.count(|route| Some(route.revision) == deploying && route.is_live());
    ensure(
        active == live && (least < target || active == target),
        "ACTIVE without being ready at a promotion, or the other way round",
    )
}

/// A way back drains no route that could serve on it, and lowers the number of those that
/// serve by none.
fn keeps_what_is_kept(
    before: &ModelState,
    step: &ModelStep,
    transition: &Transition,
    config: &ModelConfig,
) -> RuleResult {
    let ModelAction::RollBack(revision, _) = step.action else {
        return Ok(());
    };
    // Without replicas none of them is needed.
    if before.deployment.target_replicas == 0 {
        return Ok(());
    }
    // A switch takes those alone whose health is confirmed.
    let switches = transition.kind != TransitionKind::Step;
    let kept = |route: &ObservedRoute| {
        route.revision == revision
            && route.retained_at.is_some()
            && is_ready(route)
            && (!switches || before.is_fresh(route, config))
    };
    let drained = before.count(|route| kept(route) && transition.actions.drain.contains(&route.id));
    ensure(drained == 0, "drains a kept route on the way back to it")?;
    let was = before.count(ModelState::is_ready_and_active);
    let is = step.after.count(ModelState::is_ready_and_active);
    let starts = transition.kind == TransitionKind::Step
        && before.deployment.state.lifecycle() != Lifecycle::Pending;
    ensure(
        !starts || is >= was,
        "serves with fewer at the start of a way back",
    )
}

/// Failed green is replaced while the budget lasts, and no longer.
fn replaces_within_the_budget(
    before: &ModelState,
    step: &ModelStep,
    transition: &Transition,
    policy: &Policy,
) -> RuleResult {
    let (Some(spec), DeploymentState::Deploying(rollout)) =
        (switch_of(policy), before.deployment.state)
    else {
        return Ok(());
    };
    // An activation begins anew, and once it is promoted what fails is replaced for ever.
    if step.action != ModelAction::Evaluate || transition.kind == TransitionKind::Promotion {
        return Ok(());
    }
    let (target, _) = needed_by(&step.after.deployment, policy);
    let all = before.deployment.target_replicas;
    let budget = spec.max_replacements.unwrap_or(all);
    let failed = before.count(|route| {
        route.revision == rollout.deploying
            && route.activation == rollout.activation
            && route.has_failed()
    });
    let live = |route: &ObservedRoute| route.revision == rollout.deploying && route.is_live();
    let creates = |new: &NewRoutes| new.revision == rollout.deploying;
    ensure(
        !transition.actions.create.iter().any(creates)
            || step.after.count(live) + failed <= target + failed.min(budget),
        "replaces more failed green than it may",
    )?;
    let gives_up = matches!(transition.reason, Some(Reason::AllFailed { .. }));
    ensure(
        !gives_up || failed >= target + budget,
        "gives up before its replacements are used up",
    )
}

/// I10.
fn rolls_back_all(
    before: &ModelState,
    after: &ModelState,
    transition: &Transition,
    policy: &Policy,
) -> RuleResult {
    if transition.kind != TransitionKind::RollBack {
        return Ok(());
    }
    let state = &before.deployment.state;
    let green =
        after.count(|route| Some(route.revision) == state.deploying() && route.status.is_active());
    ensure(green == 0, "I10: green is active after a roll-back")?;
    ensure(
        after.deployment.state.current() == state.current(),
        "I10: another revision is current after a roll-back",
    )?;
    if let Strategy::Rolling(_) = policy.strategy {
        return Ok(());
    }
    let blue = |route: &ObservedRoute| Some(route.revision) == state.current() && route.is_live();
    let stay = before.count(blue).min(before.deployment.target_replicas);
    let actions = &transition.actions;
    ensure(
        after.count(blue) >= stay && actions.promote.is_empty() && actions.retain.is_empty(),
        "I10: blue was touched by a roll-back",
    )
}
