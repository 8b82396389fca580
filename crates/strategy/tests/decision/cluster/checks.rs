//! What must hold of every change, by a cycle or by a call.

use viridian_strategy::{
    DeploymentState, FULL_WEIGHT, NewRoutes, ObservedRoute, Reason, RolloutKind, RolloutOutcome,
    RolloutStep, RouteStatus, RouteTraffic, Strategy, TrafficSplit, Transition, TransitionKind,
};

use super::{
    clocks::failed_green,
    legal::{FlatPhase, Initiator, is_legal},
};
use crate::{
    bounds::{self, exchange_surge, is_outgoing},
    case::DecisionCase,
    generators::policies::StrategyKind,
    properties::{least_ready, needed_now, ready_and_active, resolved, switch_of},
};

/// A transition with the cases before and after it.
pub(crate) struct AppliedTransition<'a> {
    pub(crate) by: Initiator,
    pub(crate) before: &'a DecisionCase,
    pub(crate) transition: &'a Transition,
    pub(crate) after: &'a DecisionCase,
}

impl AppliedTransition<'_> {
    /// Every invariant of a change.
    pub(crate) fn is_sound(&self) {
        is_legal(self);
        snapshot_is_sound(self.after);
        self.takes_no_traffic_away();
        self.takes_no_more_than_allowed();
        self.stays_within_the_surge();
        self.waits_for_those_that_start();
        self.keeps_what_is_kept();
        self.keeps_blue_whole();
        self.fails_once();
        match self.transition.kind {
            TransitionKind::Step | TransitionKind::Shift => self.serves_all_once_ready(),
            TransitionKind::Promotion => self.promotes_all_that_is_ready(),
            TransitionKind::RollBack => self.goes_back(),
            TransitionKind::InstantRollBack => self.goes_back_at_once(),
        }
        if self.by == Initiator::Cycle && self.transition.kind != TransitionKind::Step {
            assert!(self.transition.reason.is_some(), "ended without a reason");
        }
    }

    /// I1, except where a call asks for less: a deletion.
    fn takes_no_traffic_away(&self) {
        let place = FlatPhase::of(&self.before.deployment.state);
        if place.is_gone() || self.by == Initiator::Delete {
            return;
        }
        let target = self.after.deployment.target_replicas;
        let restarted = self.after.deployment.restarted;
        let unavailable = match &self.after.policy.strategy {
            Strategy::Rolling(spec) if place.is_deploying() || restarted => {
                resolved(spec, target).1
            }
            _ => 0,
        };
        // A new one that is ready replaces what a caller wants out, also where others
        // are not ready.
        let requested = self.before.count(|route| {
            route.drain_requested_at.is_some() && self.transition.actions.drain.contains(&route.id)
        });
        let promotes = self.transition.kind == TransitionKind::Promotion;
        // The share of a canary is what every way back gives up: blue counts.
        let green = self.before.deployment.state.deploying();
        let is_canary = StrategyKind::of(&self.before.policy) == StrategyKind::Canary;
        let [before, after] = [self.before, self.after].map(|case| {
            case.count(|route| {
                let counts = !is_canary || promotes || Some(route.revision) != green;
                counts && route.traffic == RouteTraffic::Active && route.is_ready()
            })
        });
        let wanted = if promotes {
            least_ready(&self.after.policy, target)
        } else {
            target
        };
        assert!(
            after + requested >= before.min(wanted.saturating_sub(unavailable)),
            "I1: {before} were ready and ACTIVE, now {after} of {target} ({unavailable} may be away)"
        );
    }

    /// What one look takes away is bounded, whatever health says.
    fn takes_no_more_than_allowed(&self) {
        if self.by == Initiator::Cycle {
            let DecisionCase {
                deployment,
                policy,
                routes,
                ..
            } = self.before;
            let bounded = bounds::check(deployment, policy, routes, self.transition);
            assert_eq!(bounded, Ok(()));
        }
    }

    /// What is created never makes more routes live than there may be, and a
    /// green replaces a failed one only while the budget lasts.
    fn stays_within_the_surge(&self) {
        let actions = &self.transition.actions;
        let place = FlatPhase::of(&self.after.deployment.state);
        if actions.create.is_empty() {
            return;
        }
        let case = self.after;
        let target = case.deployment.target_replicas;
        let exchange = if self.replaced() > 0 {
            exchange_surge(&case.deployment, &case.policy, case.routes.iter())
        } else {
            0
        };
        // One that a caller wants out does not count as a new one.
        let live = |of| {
            case.count(|route| {
                Some(route.revision) == of && route.is_live() && route.drain_requested_at.is_none()
            })
        };
        for new in &actions.create {
            let live = live(Some(new.revision));
            let most = target + exchange;
            assert!(live <= most, "{live} of one revision, {most} allowed");
        }
        match (&case.policy.strategy, case.deployment.state) {
            (Strategy::Rolling(spec), _) => {
                let (surge, _) = resolved(spec, target);
                let surge = if place.is_deploying() {
                    surge
                } else {
                    exchange
                };
                let live = case.count(|route| route.is_live());
                assert!(
                    live <= target + surge,
                    "surge: {live} live, {target} wanted"
                );
            }
            (_, DeploymentState::Deploying(rollout)) => {
                let spec = switch_of(&case.policy).expect("green beside blue");
                let green = |new: &NewRoutes| new.revision == rollout.deploying;
                let failed = failed_green(case);
                let most = needed_now(case).0 + failed.min(spec.max_replacements.unwrap_or(target));
                let all = failed + live(Some(rollout.deploying));
                let creates = actions.create.iter().any(green);
                assert!(
                    !creates || all <= most,
                    "budget: {all} green, {most} allowed"
                );
            }
            _ => {}
        }
    }

    /// A way back begins with the kept routes that are ready: none is drained, and none
    /// stays retained.
    fn keeps_what_is_kept(&self) {
        // Without replicas none of them is needed.
        if self.by != Initiator::RollBack || self.after.deployment.target_replicas == 0 {
            return;
        }
        let state = &self.after.deployment.state;
        let back_to = state.deploying().or(state.current());
        let kept = self.before.routes.iter().filter(|route| {
            Some(route.revision) == back_to && route.retained_at.is_some() && route.is_ready()
        });
        for kept in kept {
            let after = self.after.routes.iter().find(|route| route.id == kept.id);
            let after = after.expect("a route stays in the list");
            assert!(after.is_live() && after.is_ready(), "not kept: {after:?}");
        }
        let (before, after) = (ready_and_active(self.before), ready_and_active(self.after));
        let starts = state.deploying().is_some();
        assert!(
            !starts || after >= before,
            "serves with fewer from the start"
        );
    }

    /// P4: nothing but the promotion takes routes of blue from a canary.
    fn keeps_blue_whole(&self) {
        let is_canary = StrategyKind::of(&self.before.policy) == StrategyKind::Canary;
        let is_cycle = self.by == Initiator::Cycle && self.replaced() == 0;
        let promotes = self.transition.kind == TransitionKind::Promotion;
        let current = self.before.deployment.state.current();
        if !is_canary || !is_cycle || promotes || self.before.deployment.state.rollout().is_none() {
            return;
        }
        let blue = |case: &DecisionCase| {
            case.count(|route| {
                let active = route.traffic == RouteTraffic::Active && route.is_ready();
                Some(route.revision) == current && active
            })
        };
        let least = blue(self.before).min(self.after.deployment.target_replicas);
        assert!(blue(self.after) >= least, "P4: blue is made smaller");
    }

    /// How many routes of the current revision were to be replaced.
    fn replaced(&self) -> u32 {
        let DecisionCase {
            deployment,
            policy,
            now,
            ..
        } = self.before;
        self.before
            .count(|route| is_outgoing(deployment, policy, *now, route))
    }

    /// PENDING ends when all N are ready.
    fn serves_all_once_ready(&self) {
        let places = [self.before, self.after].map(|case| FlatPhase::of(&case.deployment.state));
        if places == [FlatPhase::Pending, FlatPhase::Ready] {
            let target = self.after.deployment.target_replicas;
            assert!(ready_and_active(self.after) >= target, "READY too early");
            let asked = self.before.deployment.generation > 1;
            assert!(target > 0 || !asked, "proved by zero replicas");
        }
    }

    /// A first revision is recorded as failed once at most, and nothing else comes of it. Only
    /// a deployment that was never READY waits for it.
    fn fails_once(&self) {
        let [before, after] = [self.before, self.after].map(|case| &case.deployment);
        let place = FlatPhase::of(&after.state);
        let ended = self.transition.ended.map(|end| end.outcome);
        if ended == Some(RolloutOutcome::Failed) {
            assert_eq!(self.by, Initiator::Cycle);
            assert_eq!(place, FlatPhase::Pending);
            assert!(before.coming_up.is_some(), "failed once more");
            assert_eq!(after.coming_up, None, "will fail once more");
            assert!(ready_and_active(self.after) < after.target_replicas);
        }
        let may_wait = place == FlatPhase::Pending && after.state.current().is_some()
            || after.state.rollout().is_some_and(|it| it.from_pending);
        assert!(
            after.coming_up.is_none() || may_wait,
            "{place:?} waits for a first revision"
        );
    }

    /// Rolling: no old route goes while a new one starts.
    fn waits_for_those_that_start(&self) {
        let DeploymentState::Deploying(rollout) = self.after.deployment.state else {
            return;
        };
        let new = match rollout.step {
            RolloutStep::RollingBack => rollout.current,
            RolloutStep::Provisioning
            | RolloutStep::AwaitingPromotion { .. }
            | RolloutStep::Shifting { .. } => rollout.deploying,
        };
        let starting = |route: &ObservedRoute| {
            let id = &route.id;
            route.status == RouteStatus::Provisioning
                && route.revision == new
                && !self.transition.actions.drain.contains(id)
        };
        let going = |route: &ObservedRoute| {
            route.revision != new && self.transition.actions.drain.contains(&route.id)
        };
        // A pause exchanges none: what it drains is surplus.
        let cycle = self.by == Initiator::Cycle
            && !self.before.deployment.paused
            && StrategyKind::of(&self.before.policy) == StrategyKind::Rolling;
        assert!(
            !cycle || self.before.count(starting) == 0 || self.before.count(going) == 0,
            "old routes go while new ones start"
        );
    }

    /// I1 at a promotion: N ready ACTIVE, and no other route has traffic.
    fn promotes_all_that_is_ready(&self) {
        assert!(!self.before.deployment.paused, "promoted while paused");
        let target = self.after.deployment.target_replicas;
        let ready = ready_and_active(self.after);
        let least = least_ready(&self.after.policy, target);
        assert!((least..=target).contains(&ready), "I1: at a promotion");
        assert!(
            target > 0 || self.by == Initiator::Promote,
            "proved by zero replicas"
        );
        let current = self.after.deployment.state.current();
        let stray = |route: &ObservedRoute| {
            route.status.is_active()
                && Some(route.revision) != current
                && (route.retained_at.is_none() || self.after.policy.scale_down_delay().is_zero())
        };
        assert_eq!(
            self.after.count(stray),
            0,
            "blue is neither drained nor retained"
        );
        let activation = self.after.deployment.current_activation;
        let rollout = self.before.deployment.state.rollout();
        let forward = rollout.is_some_and(|it| it.kind == RolloutKind::Forward);
        let too_old = |route: &ObservedRoute| {
            let promoted = self.transition.actions.promote.contains(&route.id);
            forward && promoted && route.activation != activation
        };
        let too_old = self.after.count(too_old);
        assert_eq!(too_old, 0, "created before the revision was activated");
        let idle = self.after.count(|route| {
            Some(route.revision) == current
                && route.is_live()
                && route.traffic != RouteTraffic::Active
        });
        assert_eq!(idle, 0, "a green one is left without traffic");
    }

    /// I10: green is gone, and blue was touched only above the target.
    fn goes_back(&self) {
        let green = self.before.deployment.state.deploying();
        let current = self.before.deployment.state.current();
        let left = self
            .after
            .count(|route| Some(route.revision) == green && route.status.is_active());
        assert_eq!(left, 0, "I10: green is active");
        let actions = &self.transition.actions;
        let target = self.after.deployment.target_replicas;
        if StrategyKind::of(&self.after.policy) != StrategyKind::Rolling {
            assert!(
                actions.promote.is_empty() && actions.retain.is_empty(),
                "I10"
            );
            let drained = self.before.count(|route| {
                Some(route.revision) == current && actions.drain.contains(&route.id)
            });
            let live = self
                .before
                .count(|route| Some(route.revision) == current && route.is_live());
            let surplus = live.saturating_sub(target);
            // Blue that is replaced stays above the target until its new routes are ready.
            let replaced = self.replaced() > 0;
            assert!(drained == surplus || replaced, "I10: blue was touched");
        } else {
            let ready = ready_and_active(self.after);
            assert_eq!(ready, target, "gone back, but not complete");
            assert!(actions.create.is_empty(), "gone back, but not complete");
        }
    }

    /// An instant roll-back never lowers what serves, and leaves at least one.
    fn goes_back_at_once(&self) {
        let target = self.before.deployment.target_replicas;
        let needed = ready_and_active(self.before).min(target).max(1);
        let after = ready_and_active(self.after);
        assert!(after >= needed, "{after} serve after it, {needed} needed");
        let stray = |route: &ObservedRoute| {
            route.status.is_active()
                && Some(route.revision) != self.after.deployment.state.current()
        };
        assert_eq!(self.after.count(stray), 0, "others are left");
    }
}

/// I2, I4, I5.
pub(crate) fn snapshot_is_sound(case: &DecisionCase) {
    let active = || {
        let routes = case.routes.iter();
        routes.filter(|route| route.traffic == RouteTraffic::Active)
    };
    for route in active() {
        let over = !route.status.is_active() || route.retained_at.is_some();
        assert!(!over, "I5: ACTIVE, but {route:?}");
    }
    let first = active().next().map(|route| route.revision);
    if StrategyKind::of(&case.policy) == StrategyKind::BlueGreen {
        let one = active().all(|route| Some(route.revision) == first);
        assert!(one, "I2: two revisions are ACTIVE");
    }
    if StrategyKind::of(&case.policy) == StrategyKind::Canary {
        shares_are_sound(case);
    }
    if let DeploymentState::Ready { current } = case.deployment.state {
        let all = active().all(|route| route.revision == current);
        assert!(all, "I4: READY, but another revision is ACTIVE");
    }
    for route in &case.routes {
        let drained = route.drained_at.is_some();
        let ending = matches!(
            route.status,
            RouteStatus::Terminating | RouteStatus::Terminated
        );
        assert!(!drained || ending, "drained, but {route:?}");
    }
}

/// I17 to I19, P2, P3, P15, P16: only the two revisions of a canary share the traffic, and green
/// has no more than it asked for and is ready for.
fn shares_are_sound(case: &DecisionCase) {
    let state = &case.deployment.state;
    let green = |route: &ObservedRoute| Some(route.revision) == state.deploying();
    let active = |route: &ObservedRoute| route.traffic == RouteTraffic::Active;
    let weight = state.rollout().and_then(|rollout| rollout.canary.weight);
    let known = [state.current(), state.deploying()];
    for route in case.routes.iter().filter(|route| active(route)) {
        assert!(
            known.contains(&Some(route.revision)),
            "P16: a third revision is ACTIVE"
        );
        assert!(
            !green(route) || weight > Some(0),
            "I18: ACTIVE without a share"
        );
    }
    let shares = TrafficSplit::of(state).shares(&case.routes);
    let sum: u16 = shares.weights.iter().map(|it| it.permille).sum();
    assert!(
        shares.weights.is_empty() || sum == FULL_WEIGHT,
        "I19: {shares:?}"
    );
    let Some((asked, rollout)) = weight.zip(state.rollout()) else {
        assert!(shares.weights.is_empty(), "a share that nobody asked for");
        return;
    };
    assert!(asked < FULL_WEIGHT, "I17: {asked}");
    let ready = case.count(|route| green(route) && active(route) && route.is_ready());
    let effective = shares
        .weights
        .iter()
        .find(|it| Some(it.revision) == state.deploying());
    let effective = effective.map_or(0, |it| it.permille);
    let blue_serves = case.count(|route| {
        let reachable = route.status == RouteStatus::Running && route.has_address;
        !green(route) && active(route) && reachable && (route.is_ready() || route.once_healthy)
    });
    assert!(
        ready > 0 || effective == 0,
        "P2: a share without a ready route"
    );
    if blue_serves > 0 {
        assert!(effective <= asked, "P2: {effective} of {asked}");
        let part =
            f64::from(asked) * f64::from(ready) / f64::from(rollout.canary.scaled_for.max(1));
        assert!(
            f64::from(effective) < part + 1.0,
            "P2: {effective}, {part} are ready"
        );
    }
}

/// The name of a reason, for the count.
pub(crate) fn name_of(reason: Reason) -> &'static str {
    match reason {
        Reason::CameUp { .. } => "CameUp",
        Reason::NeverCameUp { .. } => "NeverCameUp",
        Reason::TookBack { .. } => "TookBack",
        Reason::CameBack { .. } => "CameBack",
        Reason::Shifted { .. } => "Shifted",
        Reason::GatesOpen { .. } => "GatesOpen",
        Reason::GateTimedOut { .. } => "GateTimedOut",
        Reason::AllFailed { .. } => "AllFailed",
        Reason::DeadlinePassed { .. } => "DeadlinePassed",
        Reason::Replaced { .. } => "Replaced",
        Reason::Returned { .. } => "Returned",
    }
}
