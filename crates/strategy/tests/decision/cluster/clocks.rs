//! The clocks of a rollout, kept once more, in another way: by summing up the
//! time that passes while the deployment is not paused.

use std::time::Duration;

use viridian_strategy::{
    Blocker, Cause, Evaluation, GateAction, GateTimeout, Route, RouteStatus, State, Strategy,
    Timestamp, TransitionKind,
};

use super::{
    checks::Deed,
    legal::{By, Place},
};
use crate::scene::Scene;

/// What the rollout has gone through, as far as one can see from outside.
#[derive(Debug)]
pub(crate) struct Clocks {
    /// Whether a rollout may still be promoted.
    open: bool,
    /// Its pauses so far, each from one time to another.
    pauses: Vec<(Timestamp, Timestamp)>,
    /// Whether it was paused at any time.
    was_paused: bool,
    /// The most that were ready at once.
    best: u32,
    /// Unpaused time since one more was ready, but that in which all were.
    since_progress: Duration,
    /// Since when it has been seen without progress, pause or completeness.
    idle_since: Timestamp,
    /// Since when all were ready, if they were at the last evaluation.
    steady_since: Option<Timestamp>,
    /// Unpaused time at the gate.
    at_gate: Duration,
}

impl Clocks {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            open: false,
            pauses: Vec::new(),
            was_paused: false,
            best: 0,
            since_progress: Duration::ZERO,
            idle_since: now,
            steady_since: None,
            at_gate: Duration::ZERO,
        }
    }

    pub(crate) fn pass(&mut self, to: Timestamp, scene: &Scene) {
        if scene.deployment.paused {
            self.was_paused = true;
            self.idle_since = to;
            self.pauses.push((scene.now, to));
        } else {
            if self.steady_since.is_none() {
                self.since_progress += to.since(scene.now);
            }
            self.at_gate += to.since(scene.now);
        }
    }

    /// A verb was done.
    pub(crate) fn called(&mut self, deed: &Deed<'_>) {
        let Scene {
            deployment, now, ..
        } = deed.after;
        let activated = matches!(deed.by, By::Activate | By::Supersede | By::RollBack);
        if activated && deployment.state.deploying().is_some() {
            *self = Self {
                open: true,
                was_paused: deployment.paused,
                ..Self::new(*now)
            };
        }
        self.ended(deed);
    }

    /// Something else is asked of the deployment, maybe a pause.
    pub(crate) fn asked(&mut self, scene: &Scene) {
        self.was_paused |= scene.deployment.paused;
    }

    /// An evaluation was applied.
    pub(crate) fn evaluated(&mut self, deed: &Deed<'_>, evaluation: &Evaluation) {
        let was = Place::of(&deed.before.deployment.state);
        let place = Place::of(&deed.after.deployment.state);
        let paused = deed.before.deployment.paused;
        if was.is_deploying() && was != Place::RollingBack && !paused {
            self.progresses(deed.before);
            self.causes_are_true(deed);
        }
        self.ended(deed);
        if paused || !place.is_deploying() {
            return;
        }
        if was != Place::AwaitingPromotion {
            self.at_gate = Duration::ZERO;
        }
        self.nothing_is_past_its_time(deed.after, evaluation, place);
        self.gates_open_in_time(deed.after, evaluation);
    }

    /// I6: an activation is promoted once at most.
    fn ended(&mut self, deed: &Deed<'_>) {
        match deed.transition.kind {
            TransitionKind::Step => {}
            TransitionKind::Promotion => {
                assert!(self.open, "I6: promoted twice");
                self.open = false;
                let (min_ready, _) = waits(deed.before);
                self.has_been_steady(deed.before, min_ready);
            }
            TransitionKind::RollBack => self.open = false,
            TransitionKind::InstantRollBack => {}
        }
    }

    fn progresses(&mut self, scene: &Scene) {
        let State::Deploying(rollout) = scene.deployment.state else {
            return;
        };
        let target = scene.deployment.target_replicas;
        let ready = |route: &Route| {
            route.revision == rollout.deploying && route.is_live() && route.is_ready()
        };
        let ready = scene.count(ready).min(target);
        let best = self.best.min(target);
        if ready > best {
            self.since_progress = Duration::ZERO;
            self.idle_since = scene.now;
        }
        self.best = best.max(ready);
        if let Some(since) = self.steady_since {
            self.idle_since = scene.now;
            let steady = self.unpaused(since, scene.now);
            let recovered = steady >= scene.policy.progress_deadline;
            // What was steady before a pause is not sure to have been seen.
            if recovered && !self.was_paused && !all_green_are_ready(scene) {
                self.since_progress = Duration::ZERO;
            }
        }
    }

    /// The time between that was no pause.
    fn unpaused(&self, from: Timestamp, to: Timestamp) -> Duration {
        let paused = |(start, end): &(Timestamp, Timestamp)| end.since(*start.max(&from));
        let paused: Duration = self.pauses.iter().map(paused).sum();
        to.since(from).saturating_sub(paused)
    }

    /// What is given as a cause has come about.
    fn causes_are_true(&self, deed: &Deed<'_>) {
        let scene = deed.before;
        match deed.transition.cause {
            Some(Cause::DeadlinePassed { deadline, .. }) => assert!(
                deadline == scene.policy.progress_deadline && self.since_progress >= deadline,
                "the deadline has not passed: {self:?}"
            ),
            Some(Cause::GateTimedOut { after }) => {
                assert!(self.at_gate >= after, "not timed out: {self:?}");
            }
            Some(Cause::GatesOpen { .. }) => {
                let (min_ready, delay) = waits(scene);
                self.has_been_steady(scene, min_ready.max(delay));
            }
            Some(Cause::AllFailed { .. }) => {
                let target = scene.deployment.target_replicas;
                assert!(green(scene).count() == 0 || target == 0, "some are live");
                assert!(failed_green(scene) > 0, "none has failed");
            }
            _ => {}
        }
    }

    /// I11: it does not go on without progress for longer than the deadline, or
    /// at the gate for longer than the timeout.
    fn nothing_is_past_its_time(&mut self, scene: &Scene, evaluation: &Evaluation, place: Place) {
        let deadline = scene.policy.progress_deadline;
        let is_steady = match scene.policy.strategy {
            Strategy::BlueGreen(_) => all_green_are_ready(scene),
            Strategy::Rolling(_) => false,
        };
        self.steady_since = is_steady.then(|| settled_at(scene));
        if is_steady {
            self.idle_since = scene.now;
        } else if place != Place::RollingBack {
            assert_eq!(place, Place::Provisioning, "green is not ready");
            let idle = scene.now.since(self.idle_since);
            assert!(idle < deadline, "I11: {idle:?} without progress");
            let expected = scene.now + deadline.saturating_sub(self.since_progress);
            let shown = evaluation.deadline.expect("a deadline runs");
            assert!(shown >= expected, "passes too early: {self:?}");
            assert!(self.was_paused || shown == expected, "late: {self:?}");
        }
        if place == Place::AwaitingPromotion {
            let expected = self.gate_ends_at(scene);
            assert_eq!(evaluation.deadline, expected, "the gate's timeout");
        }
    }

    /// When the gate times out, if something happens then.
    fn gate_ends_at(&self, scene: &Scene) -> Option<Timestamp> {
        let Strategy::BlueGreen(spec) = scene.policy.strategy else {
            return None;
        };
        let acts = |timeout: &GateTimeout| timeout.action != GateAction::Hold;
        let timeout = spec.gate_timeout.filter(acts)?;
        let left = timeout.duration.saturating_sub(self.at_gate);
        (!spec.auto_promote).then_some(scene.now + left)
    }

    /// What ready green wait for counts from their latest change, to the
    /// microsecond, if there was no pause.
    fn gates_open_in_time(&self, scene: &Scene, evaluation: &Evaluation) {
        let (min_ready, delay) = waits(scene);
        for blocker in &evaluation.blockers {
            let (until, wait) = match *blocker {
                Blocker::MinReady { until } => (until, min_ready),
                Blocker::PromoteDelay { until } => (until, delay),
                _ => continue,
            };
            let waited = self.unpaused(settled_at(scene), scene.now);
            let expected = scene.now + wait.saturating_sub(waited);
            assert!(until >= expected, "too early: {blocker:?}");
            assert!(self.was_paused || until == expected, "late: {blocker:?}");
        }
    }

    /// All green are ready, and have been for that long.
    fn has_been_steady(&self, scene: &Scene, wait: Duration) {
        if matches!(scene.policy.strategy, Strategy::Rolling(_)) {
            return;
        }
        assert!(all_green_are_ready(scene), "not all green are ready");
        let waited = self.unpaused(settled_at(scene), scene.now);
        // Which of several above the target stay is not decided here.
        let surplus = green(scene).count() > scene.deployment.target_replicas as usize;
        assert!(
            surplus || waited >= wait,
            "promoted after {waited:?}, though it was to be ready for {wait:?}"
        );
    }

    /// Whether a promotion by hand ought to be taken; unknown after a pause or
    /// with green above the target.
    pub(crate) fn may_promote(&self, scene: &Scene) -> Option<bool> {
        let target = scene.deployment.target_replicas;
        let live = green(scene).count();
        let is_deploying = scene.deployment.state.deploying().is_some();
        let all_failed = live == 0 && failed_green(scene) > 0;
        if scene.deployment.paused || !is_deploying || !all_green_are_ready(scene) || all_failed {
            return Some(false);
        }
        let (min_ready, _) = waits(scene);
        let over = self.unpaused(settled_at(scene), scene.now) >= min_ready;
        let unknown = live > target as usize || over && self.was_paused;
        (!unknown).then_some(over)
    }
}

fn waits(scene: &Scene) -> (Duration, Duration) {
    match scene.policy.strategy {
        Strategy::BlueGreen(spec) => (spec.min_ready, spec.promote_delay),
        Strategy::Rolling(_) => (Duration::ZERO, Duration::ZERO),
    }
}

fn green(scene: &Scene) -> impl Iterator<Item = &Route> {
    let green = scene.deployment.state.deploying();
    let routes = scene.routes.iter();
    routes.filter(move |route| Some(route.revision) == green && route.is_live())
}

/// How many green failed in this rollout.
pub(crate) fn failed_green(scene: &Scene) -> u32 {
    let rollout = scene.deployment.state.rollout();
    scene.count(|route| {
        rollout.is_some_and(|rollout| {
            route.revision == rollout.deploying
                && route.created_at >= rollout.since
                && route.has_failed()
        })
    })
}

fn all_green_are_ready(scene: &Scene) -> bool {
    let target = scene.deployment.target_replicas as usize;
    let live = green(scene).count();
    let provisioning = |route: &&Route| route.status == RouteStatus::Provisioning;
    let ready = green(scene).filter(|route| route.is_ready()).count();
    ready >= target && (live > target || green(scene).filter(provisioning).count() == 0)
}

/// The latest change of status or health among the green.
fn settled_at(scene: &Scene) -> Timestamp {
    let began = scene
        .deployment
        .state
        .rollout()
        .map(|rollout| rollout.since);
    green(scene)
        .flat_map(|route| [Some(route.status_updated_at), route.health_updated_at])
        .flatten()
        .max()
        .or(began)
        .unwrap_or_default()
}
