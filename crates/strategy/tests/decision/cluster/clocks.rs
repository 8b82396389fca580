//! The clocks of a rollout, kept once more, in another way: by summing up the
//! time that passes while the deployment is not paused and has replicas.

use std::time::Duration;

use viridian_strategy::{
    Blocker, DeploymentState, Evaluation, GateAction, GateTimeout, ObservedRoute, Reason, Rollout,
    RolloutKind, RouteStatus, Strategy, Timestamp, TransitionKind,
};

use super::{
    checks::AppliedTransition,
    legal::{FlatPhase, Initiator},
};
use crate::{
    case::DecisionCase,
    properties::{needed_now, switch_of},
};

/// What the rollout has gone through, as far as one can see from outside.
#[derive(Debug)]
pub(crate) struct ExpectedClocks {
    /// Whether a rollout may still be promoted.
    open: bool,
    /// When its clocks stood so far, each time from one instant to another: in a pause, and
    /// without replicas.
    stops: Vec<(Timestamp, Timestamp)>,
    /// Whether they stood at any time.
    has_stood: bool,
    /// The most that were ready at once.
    best: u32,
    /// Time since one more was ready, but that in which all were, or the clocks stood.
    since_progress: Duration,
    /// Since when it has been seen without progress, pause or completeness.
    idle_since: Timestamp,
    /// Since when all were ready, if they were at the last evaluation.
    steady_since: Option<Timestamp>,
    /// Time at the gate, without that in which the clocks stood.
    at_gate: Duration,
    /// When green took the share that it has, in a canary.
    risen_at: Option<Timestamp>,
    /// The step that green is brought up for.
    towards: u32,
}

impl ExpectedClocks {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            open: false,
            stops: Vec::new(),
            has_stood: false,
            best: 0,
            since_progress: Duration::ZERO,
            idle_since: now,
            steady_since: None,
            at_gate: Duration::ZERO,
            risen_at: None,
            towards: 1,
        }
    }

    pub(crate) fn pass(&mut self, to: Timestamp, case: &DecisionCase) {
        if clocks_stand(case) {
            self.has_stood = true;
            self.idle_since = to;
            self.stops.push((case.now, to));
        } else {
            if self.steady_since.is_none() {
                self.since_progress += to.since(case.now);
            }
            self.at_gate += to.since(case.now);
        }
    }

    /// The clock that decides was set back: what has passed seems to be less by that. What
    /// waits may wait for that much longer, and no longer.
    pub(crate) fn lose(&mut self, lost: Duration, case: &DecisionCase) {
        if !clocks_stand(case) {
            self.at_gate = self.at_gate.saturating_sub(lost);
            if self.steady_since.is_none() {
                self.since_progress = self.since_progress.saturating_sub(lost);
            }
        }
        self.idle_since = self.idle_since + lost;
        self.steady_since = self.steady_since.map(|since| since + lost);
        self.risen_at = self.risen_at.map(|at| (at + lost).min(case.now));
    }

    /// A verb was done.
    pub(crate) fn called(&mut self, applied: &AppliedTransition<'_>) {
        let DecisionCase {
            deployment, now, ..
        } = applied.after;
        let activated = matches!(
            applied.by,
            Initiator::Activate | Initiator::Supersede | Initiator::RollBack
        );
        if activated && deployment.state.deploying().is_some() {
            *self = Self {
                open: true,
                has_stood: clocks_stand(applied.after),
                ..Self::new(*now)
            };
        }
        self.ended(applied);
    }

    /// Something else is asked of the deployment, maybe a pause.
    pub(crate) fn asked(&mut self, case: &DecisionCase) {
        self.has_stood |= clocks_stand(case);
        self.begins_step(case);
    }

    /// An evaluation was applied.
    pub(crate) fn evaluated(&mut self, applied: &AppliedTransition<'_>, evaluation: &Evaluation) {
        let was = FlatPhase::of(&applied.before.deployment.state);
        let place = FlatPhase::of(&applied.after.deployment.state);
        let paused = applied.before.deployment.paused;
        if was.is_deploying() && was != FlatPhase::RollingBack && !paused {
            if applied.before.deployment.target_replicas == 0 {
                // The best count is never above N.
                self.best = 0;
            } else {
                self.progresses(applied.before);
            }
            self.reasons_are_true(applied);
        }
        self.follows_steps(applied);
        self.ended(applied);
        if paused || !place.is_deploying() {
            return;
        }
        let [old_gate, gate] = [applied.before, applied.after].map(gate_of);
        if old_gate.is_none() || old_gate != gate {
            self.at_gate = Duration::ZERO;
        }
        self.nothing_is_past_its_time(applied.after, evaluation, place);
        self.gates_open_in_time(applied.after, evaluation);
    }

    /// I6: an activation is promoted once at most.
    fn ended(&mut self, applied: &AppliedTransition<'_>) {
        match applied.transition.kind {
            TransitionKind::Step => {}
            TransitionKind::Shift => self.rises(applied),
            TransitionKind::Promotion => {
                assert!(self.open, "I6: promoted twice");
                self.open = false;
                let (min_ready, _) = waits(applied.before);
                self.has_been_steady(&at_the_switch(applied.before), min_ready);
            }
            TransitionKind::RollBack => self.open = false,
            TransitionKind::InstantRollBack => {}
        }
    }

    /// A step forward of a canary: the next share comes with all green that it needs, after the
    /// hold and the person of the step before.
    fn rises(&mut self, applied: &AppliedTransition<'_>) {
        let DecisionCase { deployment, .. } = applied.before;
        assert!(!deployment.paused, "rises in a pause");
        let canary = |case: &DecisionCase| case.deployment.state.rollout().map(|it| it.canary);
        let (Some(was), Some(is)) = (canary(applied.before), canary(applied.after)) else {
            panic!("a share without a rollout");
        };
        assert!(
            is.weight > was.weight || is.step > was.step,
            "rises to less"
        );
        assert!(is.weight >= was.weight, "P1: the share falls");
        let (min_ready, _) = waits(applied.before);
        let mut then = applied.before.clone();
        set_towards(&mut then, is.step);
        self.has_been_steady(&then, min_ready);
        self.risen_at = Some(applied.before.now);
    }

    /// What a step asks for is over when green is brought up for the next one.
    fn follows_steps(&mut self, applied: &AppliedTransition<'_>) {
        let canary = |case: &DecisionCase| case.deployment.state.rollout().map(|it| it.canary);
        let (Some(was), Some(is)) = (canary(applied.before), canary(applied.after)) else {
            return;
        };
        if was.towards == was.step && was.step > 0 && is.towards > was.towards {
            self.has_been_held(applied.before, was.step);
        }
        self.begins_step(applied.after);
    }

    /// A step has the whole deadline from when green is brought up for it.
    fn begins_step(&mut self, case: &DecisionCase) {
        let steps = |rollout: &&Rollout| rollout.kind != RolloutKind::Back { gated: false };
        let rollout = case.deployment.state.rollout().filter(steps);
        let towards = rollout.map_or(0, |rollout| rollout.canary.towards);
        if towards > self.towards {
            self.since_progress = Duration::ZERO;
            self.idle_since = case.now;
            self.steady_since = None;
            // Of those that are there, some may be more than the step before needed.
            self.best = self.best.max(ready_green(case).unwrap_or(0));
        }
        self.towards = towards;
    }

    /// A step was held for as long as the policy says, with all of its green ready, or a caller
    /// ended it.
    fn has_been_held(&self, case: &DecisionCase, step: u32) {
        let Strategy::Canary(spec) = &case.policy.strategy else {
            panic!("a step without a canary");
        };
        let canary = case.deployment.state.rollout().expect("a rollout").canary;
        let Some(step) = spec.steps.get(step as usize - 1) else {
            return;
        };
        if canary.advanced || canary.weight < Some(step.weight_permille) {
            return;
        }
        let since = settled_at(case).max(self.risen_at.unwrap_or_default());
        let held = self.unstopped(since, case.now);
        assert!(held >= step.hold, "held for {held:?} of {:?}", step.hold);
        let timeout = spec
            .switch
            .gate_timeout
            .filter(|it| it.action == GateAction::Promote);
        let over = timeout.is_some_and(|timeout| self.at_gate >= timeout.duration);
        assert!(!step.manual || over, "nobody has advanced it");
    }

    fn progresses(&mut self, case: &DecisionCase) {
        let Some(ready) = ready_green(case) else {
            return;
        };
        let (target, _) = needed_now(case);
        let best = self.best.min(target);
        if ready > best {
            self.since_progress = Duration::ZERO;
            self.idle_since = case.now;
        }
        self.best = best.max(ready);
        if let Some(since) = self.steady_since {
            self.idle_since = case.now;
            let steady = self.unstopped(since, case.now);
            let recovered = steady >= case.policy.progress_deadline;
            // What was steady before a pause is not sure to have been seen.
            if recovered && !self.has_stood && !enough_green_are_ready(case) {
                self.since_progress = Duration::ZERO;
            }
        }
    }

    /// The time between that was no stop.
    fn unstopped(&self, from: Timestamp, to: Timestamp) -> Duration {
        let stopped = |(start, end): &(Timestamp, Timestamp)| end.since(*start.max(&from));
        let stopped: Duration = self.stops.iter().map(stopped).sum();
        to.since(from).saturating_sub(stopped)
    }

    /// What is given as a cause has come about.
    fn reasons_are_true(&self, applied: &AppliedTransition<'_>) {
        let case = applied.before;
        match applied.transition.reason {
            Some(Reason::DeadlinePassed { deadline, .. }) => assert!(
                deadline == case.policy.progress_deadline && self.since_progress >= deadline,
                "the deadline has not passed: {self:?}"
            ),
            Some(Reason::GateTimedOut { after }) => {
                assert!(self.at_gate >= after, "not timed out: {self:?}");
            }
            Some(Reason::GatesOpen { .. }) => {
                let (min_ready, delay) = waits(case);
                self.has_been_steady(case, min_ready.max(delay));
            }
            Some(Reason::CameBack { .. }) => {
                let kind = case.deployment.state.rollout().map(|rollout| rollout.kind);
                let ungated = Some(RolloutKind::Back { gated: false });
                assert_eq!(kind, ungated, "skips the gate unasked");
                self.has_been_steady(case, waits(case).0);
            }
            Some(Reason::AllFailed { .. }) => {
                // What a caller wants out is drained, or is as good as that.
                let mut green = green(case);
                let all_go = green.all(|route| route.drain_requested_at.is_some());
                assert!(all_go, "some are live");
                assert!(failed_green(case) > 0, "none has failed");
            }
            _ => {}
        }
    }

    /// I11: it does not go on without progress for longer than the deadline, or
    /// at the gate for longer than the timeout.
    fn nothing_is_past_its_time(
        &mut self,
        case: &DecisionCase,
        evaluation: &Evaluation,
        place: FlatPhase,
    ) {
        let deadline = case.policy.progress_deadline;
        if case.deployment.target_replicas == 0 && place != FlatPhase::RollingBack {
            self.steady_since = None;
            self.idle_since = case.now;
            assert_eq!(place, FlatPhase::Provisioning, "nothing is ready");
            assert_eq!(evaluation.deadline, None, "nothing is awaited");
            return;
        }
        let is_steady = switch_of(&case.policy).is_some() && enough_green_are_ready(case);
        self.steady_since = is_steady.then(|| settled_at(case));
        if is_steady {
            self.idle_since = case.now;
        } else if place != FlatPhase::RollingBack {
            assert_eq!(place, FlatPhase::Provisioning, "green is not ready");
            let idle = case.now.since(self.idle_since);
            assert!(idle < deadline, "I11: {idle:?} without progress");
            let expected = case.now + deadline.saturating_sub(self.since_progress);
            let shown = evaluation.deadline.expect("a deadline runs");
            assert!(shown >= expected, "passes too early: {self:?}");
            assert!(
                self.has_stood || shown == expected,
                "late: {self:?} {:?}",
                case.deployment
            );
        }
        if gate_of(case).is_some() {
            let expected = self.gate_ends_at(case);
            assert_eq!(evaluation.deadline, expected, "the gate's timeout");
        }
    }

    /// When the gate times out, if something happens then.
    fn gate_ends_at(&self, case: &DecisionCase) -> Option<Timestamp> {
        let spec = switch_of(&case.policy)?;
        let acts = |timeout: &GateTimeout| timeout.action != GateAction::Hold;
        let timeout = spec.gate_timeout.filter(acts)?;
        let left = timeout.duration.saturating_sub(self.at_gate);
        let waits =
            !spec.auto_promote || FlatPhase::of(&case.deployment.state) == FlatPhase::Shifting;
        waits.then_some(case.now + left)
    }

    /// What ready green wait for counts from their latest change, to the
    /// microsecond, if there was no pause.
    fn gates_open_in_time(&self, case: &DecisionCase, evaluation: &Evaluation) {
        let (min_ready, delay) = waits(case);
        for blocker in &evaluation.blockers {
            let (until, wait) = match *blocker {
                Blocker::MinReady { until } => (until, min_ready),
                Blocker::PromoteDelay { until } => (until, delay),
                _ => continue,
            };
            let waited = self.unstopped(settled_at(case), case.now);
            let expected = case.now + wait.saturating_sub(waited);
            assert!(until >= expected, "too early: {blocker:?}");
            assert!(self.has_stood || until == expected, "late: {blocker:?}");
        }
    }

    /// All green are ready, and have been for that long.
    fn has_been_steady(&self, case: &DecisionCase, wait: Duration) {
        let none = case.deployment.target_replicas == 0;
        if none || matches!(case.policy.strategy, Strategy::Rolling(_)) {
            return;
        }
        assert!(enough_green_are_ready(case), "too few green are ready");
        let waited = self.unstopped(settled_at(case), case.now);
        // Which of several above the target stay is not decided here.
        let surplus = green(case).count() > needed_now(case).0 as usize;
        assert!(
            surplus || waited >= wait,
            "promoted after {waited:?}, though it was to be ready for {wait:?}"
        );
    }

    /// Whether a promotion by hand ought to be taken; unknown after a pause or
    /// with green above the target.
    pub(crate) fn may_promote(&self, case: &DecisionCase) -> Option<bool> {
        let target = case.deployment.target_replicas;
        let live = green(case).count();
        let is_deploying = case.deployment.state.deploying().is_some();
        let back = FlatPhase::of(&case.deployment.state) == FlatPhase::RollingBack;
        if target == 0 {
            return Some(is_deploying && !back && !case.deployment.paused);
        }
        if matches!(case.policy.strategy, Strategy::Rolling(_)) {
            return Some(false);
        }
        let case = &at_the_switch(case);
        let all_failed = live == 0 && failed_green(case) > 0;
        if case.deployment.paused || !is_deploying || !enough_green_are_ready(case) || all_failed {
            return Some(false);
        }
        let (min_ready, _) = waits(case);
        let over = self.unstopped(settled_at(case), case.now) >= min_ready;
        let unknown = live > target as usize || over && self.has_stood;
        (!unknown).then_some(over)
    }
}

/// How many green are ready, of those that are needed.
fn ready_green(case: &DecisionCase) -> Option<u32> {
    let rollout = case.deployment.state.rollout()?;
    let ready = |route: &ObservedRoute| {
        route.revision == rollout.deploying
            && route.is_live()
            && route.is_ready()
            // A caller wants it out: another one has to become ready.
            && route.drain_requested_at.is_none()
    };
    Some(case.count(ready).min(needed_now(case).0))
}

/// The same as a promotion sees it: green is to be there for all of the target.
fn at_the_switch(case: &DecisionCase) -> DecisionCase {
    let mut case = case.clone();
    set_towards(&mut case, u32::MAX);
    case
}

fn set_towards(case: &mut DecisionCase, step: u32) {
    if let DeploymentState::Deploying(rollout) = &mut case.deployment.state {
        rollout.canary.towards = step;
    }
}

/// The gate at which someone is waited for, with the step that it belongs to.
fn gate_of(case: &DecisionCase) -> Option<(FlatPhase, u32)> {
    let rollout = case.deployment.state.rollout()?;
    rollout.step.gate()?;
    Some((
        FlatPhase::of(&case.deployment.state),
        rollout.canary.towards,
    ))
}

/// Whether nothing is awaited, so that no clock of the rollout runs.
fn clocks_stand(case: &DecisionCase) -> bool {
    case.deployment.paused || case.deployment.target_replicas == 0
}

fn waits(case: &DecisionCase) -> (Duration, Duration) {
    switch_of(&case.policy).map_or_else(Default::default, |spec| {
        (spec.min_ready, spec.promote_delay)
    })
}

fn green(case: &DecisionCase) -> impl Iterator<Item = &ObservedRoute> {
    let green = case.deployment.state.deploying();
    let routes = case.routes.iter();
    routes.filter(move |route| Some(route.revision) == green && route.is_live())
}

/// How many green failed in this rollout.
pub(crate) fn failed_green(case: &DecisionCase) -> u32 {
    let rollout = case.deployment.state.rollout();
    case.count(|route| {
        rollout.is_some_and(|rollout| {
            route.revision == rollout.deploying
                && route.activation == rollout.activation
                && route.has_failed()
        })
    })
}

/// As many green are ready as the threshold asks for: without one, all.
fn enough_green_are_ready(case: &DecisionCase) -> bool {
    let (target, least) = needed_now(case);
    let live = green(case).count();
    let provisioning = |route: &&ObservedRoute| route.status == RouteStatus::Provisioning;
    let ready = green(case).filter(|route| route.is_ready()).count();
    let all_run = live > target as usize || green(case).filter(provisioning).count() == 0;
    ready >= least as usize && (all_run || least < target)
}

/// Since when as many green have been ready as the threshold asks for: the latest change of
/// status or health among the first of them.
fn settled_at(case: &DecisionCase) -> Timestamp {
    let began = case.deployment.state.rollout().map(|rollout| rollout.since);
    let (_, least) = needed_now(case);
    let ready = green(case).filter(|route| route.is_ready());
    let mut times: Vec<Timestamp> = ready.map(ObservedRoute::settled_at).collect();
    times.sort_unstable();
    let last = (least as usize).min(times.len()).checked_sub(1);
    last.map(|last| times[last])
        // A kept route was ready before the way back began: it waits from then on.
        .max(began)
        .unwrap_or_default()
}
