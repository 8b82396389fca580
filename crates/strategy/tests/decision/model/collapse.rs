//! What cannot matter, given the same value everywhere.

use std::time::Duration;

use viridian_strategy::{
    DeploymentState, ObservedRoute, Rollout, RolloutStep, RouteHealth, RouteStatus, RouteTraffic,
    SteadyPeriod, Stopwatch, Timestamp,
};

use super::{
    canon::NOW,
    clocks::TickClocks,
    config::{AgeCaps, EvidenceTrouble, ModelConfig},
    state::{ModelRoute, ModelState, is_ready},
};
use crate::{
    case::{at, secs},
    properties::has_threshold,
};

pub(super) const LONG_AGO: Timestamp = at(-1_000);

impl ModelState {
    /// Gives what cannot matter the same value everywhere.
    pub(super) fn collapse(&mut self, config: &ModelConfig) {
        let caps = config.caps().with_slack(self.set_backs);
        if self.is_ending() {
            self.deployment.paused = false;
            for ModelRoute { route, .. } in &mut self.members {
                route.created_at = self.now;
                route.activation = 0;
                route.drained_at = Some(self.now);
                route.evicted_at = None;
                route.drain_requested_at = None;
            }
            self.deployment.restarted = false;
        } else {
            self.collapse_ages(config);
        }
        let resumed = self.was_resumed_meanwhile(config);
        self.collapse_settled(config, &caps);
        let clocks = self.clocks.capped(&caps);
        self.clocks = if self.is_deploying() {
            clocks
        } else {
            TickClocks {
                first: clocks.first,
                ..TickClocks::default()
            }
        };
        let first = self.deployment.coming_up;
        self.deployment.coming_up = first.map(|watch| capped(watch, caps.first, self.now, &caps));
        self.collapse_rollout(config, resumed, &caps);
    }

    /// Whether a green has been ready since before the last pause ended: only then the end of
    /// the pause matters.
    fn was_resumed_meanwhile(&self, config: &ModelConfig) -> bool {
        let resumed_at = self.deployment.state.rollout().map(|it| it.resumed_at);
        let mut ready = self.green().filter(|member| is_ready(&member.route));
        self.waits(config) && ready.any(|member| Some(member.route.settled_at()) < resumed_at)
    }

    fn collapse_ages(&mut self, config: &ModelConfig) {
        let deploying = self.deployment.state.deploying();
        let ordered = self.orders_green(config);
        let barriers = self.barriers(config);
        for ModelRoute { route, .. } in &mut self.members {
            let green = Some(route.revision) == deploying;
            let kept = config.is_ordered() || ordered && green;
            if !kept {
                route.created_at = born(route, &barriers);
            }
        }
    }

    fn collapse_settled(&mut self, config: &ModelConfig, caps: &AgeCaps) {
        let deploying = self.deployment.state.deploying();
        let (waits, ordered) = (self.waits(config), self.orders_green(config));
        let latest = self.latest_change(config);
        for member in &mut self.members {
            let route = &member.route;
            let green = Some(route.revision) == deploying;
            let kept = waits && green && is_ready(route);
            let settled_at = if !kept {
                None
            } else if ordered {
                Some(route.settled_at())
            } else {
                latest.map(|(settled_at, _)| settled_at)
            };
            if let Some((_, held)) = latest.filter(|_| !ordered) {
                member.held = held;
            }
            member.collapse(settled_at, self.now, caps, config);
        }
    }

    fn collapse_rollout(&mut self, config: &ModelConfig, resumed: bool, caps: &AgeCaps) {
        let (waits, ordered) = (self.waits(config), self.orders_green(config));
        let DeploymentState::Deploying(rollout) = &mut self.deployment.state else {
            return;
        };
        let settled: Vec<Timestamp> = self
            .members
            .iter()
            .filter(|one| one.route.revision == rollout.deploying && is_ready(&one.route))
            .map(|one| one.route.settled_at())
            .collect();
        // No decision reads when it began.
        rollout.since = LONG_AGO;
        if !resumed {
            rollout.resumed_at = LONG_AGO;
        }
        let matters = |at: Timestamp| ordered || at == self.now || settled.contains(&at);
        cap(rollout, |at| waits && matters(at), self.now, caps);
    }

    /// The latest change among green that are all ready, and for how long that
    /// one has been, as long as the target stays: any later change is younger
    /// than all, so that nothing else about them can matter.
    fn latest_change(&self, config: &ModelConfig) -> Option<(Timestamp, u8)> {
        let target = self.deployment.target_replicas as usize;
        let ready = || self.green().filter(|member| is_ready(&member.route));
        if !self.waits(config) || ready().count() < target {
            return None;
        }
        let settled_at = ready().map(|member| member.route.settled_at()).max()?;
        Some((settled_at, ready().map(|member| member.held).min()?))
    }

    /// Whether it can come to matter which of the ready green is younger.
    pub(super) fn orders_green(&self, config: &ModelConfig) -> bool {
        // Below a threshold, and at a step of a canary, it matters of each since when it is ready.
        self.waits(config)
            && (config.targets.len() > 1
                || config.has_canary()
                || config.policies.iter().any(has_threshold))
    }

    /// What the creation of a route is compared with: failures of its own activation, and now,
    /// where it may be the next one to fail.
    fn barriers(&self, config: &ModelConfig) -> Vec<(Option<i64>, Timestamp)> {
        if config.failures < 2 {
            return Vec::new();
        }
        let failed = self.routes().filter(|route| route.has_failed());
        let failed = failed.map(|route| (Some(route.activation), route.status_updated_at));
        failed.chain([(None, self.now)]).collect()
    }
}

impl ModelRoute {
    /// Keeps since when it is ready only as far as that is given.
    fn collapse(
        &mut self,
        settled_at: Option<Timestamp>,
        now: Timestamp,
        caps: &AgeCaps,
        config: &ModelConfig,
    ) {
        let Self { route, held } = self;
        let failed = route.has_failed() && caps.back_off > 0;
        *held = settled_at.map_or(0, |_| (*held).min(caps.held));
        route.status_updated_at = match settled_at {
            Some(settled_at) => settled_at,
            None if failed => route.status_updated_at,
            None => route.created_at,
        };
        route.health_updated_at = None;
        // That of a route which is not ready is compared with late reports alone.
        let compared = route.is_ready() || config.has(EvidenceTrouble::LateReports);
        let observed = route
            .health_observed_at
            .filter(|_| caps.observed > 0 && route.status == RouteStatus::Running && compared);
        // Relative to the time that every canonical state has.
        route.health_observed_at =
            observed.map(|at| NOW - now.since(at).min(secs(caps.observed.into())));
        route.has_address &= route.status == RouteStatus::Running;
        // It matters only to one that takes traffic, and would be in the table by it.
        route.once_healthy &= route.traffic == RouteTraffic::Active || is_ready(route);
        if route.status != RouteStatus::Running {
            route.health = RouteHealth::NotChecked;
        }
        if route.has_failed() {
            route.status = RouteStatus::Terminated;
        }
        route.drained_at = route.drained_at.map(|_| LONG_AGO);
        route.drain_requested_at = route.drain_requested_at.filter(|_| route.is_live());
        route.retained_at = route
            .retained_at
            .map(|at| NOW - now.since(at).min(secs(caps.retained.into())));
    }
}

/// When a route was created, as far as that can matter: the last barrier before it.
fn born(route: &ObservedRoute, barriers: &[(Option<i64>, Timestamp)]) -> Timestamp {
    let own = barriers
        .iter()
        .filter(|(of, _)| of.is_none_or(|of| of == route.activation));
    let passed = own
        .map(|barrier| barrier.1)
        .filter(|at| *at <= route.created_at);
    passed.max().unwrap_or(LONG_AGO)
}

fn cap(rollout: &mut Rollout, matters: impl Fn(Timestamp) -> bool, now: Timestamp, caps: &AgeCaps) {
    let back = rollout.step == RolloutStep::RollingBack;
    if back {
        rollout.best_ready = 0;
    }
    let limit = if back { 0 } else { caps.progress };
    rollout.progress = capped(rollout.progress, limit, now, caps);
    if let RolloutStep::AwaitingPromotion { gate } = &mut rollout.step {
        *gate = capped(*gate, caps.gate, now, caps);
    }
    if let RolloutStep::Shifting { gate: Some(gate) } = &mut rollout.step {
        *gate = capped(*gate, caps.gate, now, caps);
    }
    let hold = rollout.canary.hold;
    rollout.canary.hold = hold.map(|hold| capped(hold, caps.hold, now, caps));
    rollout.steady = rollout.steady.map(|steady| SteadyPeriod {
        settled_at: if matters(steady.settled_at) {
            steady.settled_at
        } else {
            LONG_AGO
        },
        watch: capped(steady.watch, caps.settled, now, caps),
    });
}

/// The same stopwatch, which has measured no more than `cap` ticks.
fn capped(watch: Stopwatch, cap: u8, now: Timestamp, caps: &AgeCaps) -> Stopwatch {
    let spent = watch.stopped(now).spent.min(secs(cap.into()));
    match watch.since {
        None => Stopwatch { spent, since: None },
        Some(_) => Stopwatch {
            spent: Duration::ZERO,
            // One that nothing is compared with must not look as if it had just been started: a
            // clock that is set back goes by the latest of all times.
            since: Some(NOW - spent.max(secs(if cap == 0 { caps.slack } else { 0 }.into()))),
        },
    }
}
