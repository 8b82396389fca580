//! The canonical form of a state: one for all states that no decision, now or
//! later, can tell apart. The module's doctrine says why it is sound.

use std::time::Duration;

use uuid::Uuid;
use viridian_strategy::{
    Health, RevisionId, Rollout, Route, RouteId, RouteStatus, State, Steady, Step, Stopwatch,
    Strategy, Timestamp, Traffic,
};

use super::{
    clocks::Clocks,
    config::{Caps, Config},
    world::{Member, World, is_ready},
};
use crate::scene::{at, secs};

/// When it is, in every canonical state.
const NOW: Timestamp = at(1_000);
const LONG_AGO: Timestamp = at(-1_000);

impl World {
    pub(super) fn canonical(&self, config: &Config) -> Self {
        let mut world = self.clone();
        world.forget(config);
        world.collapse(config);
        world.shift(&config.caps());
        world.rename();
        world.renumber(config);
        world
    }

    /// Whether a route, which is over or about to be, counts nowhere from now
    /// on.
    pub(super) fn is_forgotten(&self, route: &Route, config: &Config) -> bool {
        let state = &self.deployment.state;
        if let State::Destroying { .. } | State::Destroyed { .. } = state {
            return route.status.is_over();
        }
        if route.status.is_active() {
            return false;
        }
        let no_more = match state.rollout() {
            _ if Some(route.revision) == state.current() => false,
            Some(rollout) if rollout.deploying == route.revision => {
                route.created_at < rollout.since
            }
            _ => route.created_at < self.now,
        };
        route.drained_at.is_some()
            || route.created_at < self.deployment.current_since
            || config.is_blue_green() && no_more
    }

    /// Whether it matters since when green is ready.
    fn waits(&self, config: &Config) -> bool {
        let strategy = self.policy(config).strategy;
        matches!(strategy, Strategy::BlueGreen(_)) && config.caps().settled > 0
    }

    fn forget(&mut self, config: &Config) {
        let mut members = std::mem::take(&mut self.members);
        members.retain(|member| !self.is_forgotten(&member.route, config));
        self.members = members;
    }

    /// Gives what cannot matter the same value everywhere.
    fn collapse(&mut self, config: &Config) {
        let caps = config.caps();
        let state = self.deployment.state;
        let gone = matches!(state, State::Destroying { .. } | State::Destroyed { .. });
        if gone {
            self.deployment.current_since = self.now;
            self.deployment.paused = false;
        }
        let waits = self.waits(config);
        let latest = self.latest_change(config);
        let ordered = self.orders_green(config);
        let barriers = self.barriers(config);
        for member in &mut self.members {
            let green = Some(member.route.revision) == state.deploying();
            if gone {
                member.route.created_at = self.now;
                member.route.drained_at = Some(self.now);
            } else if !config.is_ordered() && !(ordered && green) {
                member.route.created_at = born(&member.route, &barriers, self.now);
            }
            let settled_at = if !(waits && green && is_ready(&member.route)) {
                None
            } else if ordered {
                Some(member.route.settled_at())
            } else {
                latest.map(|(settled_at, _)| settled_at)
            };
            if let Some((_, held)) = latest.filter(|_| !ordered) {
                member.held = held;
            }
            member.collapse(settled_at, self.now, &caps);
        }
        self.clocks = if self.is_deploying() {
            self.clocks.capped(caps.gate, caps.progress, caps.held)
        } else {
            Clocks::default()
        };
        if let State::Deploying(rollout) = &mut self.deployment.state {
            let settled: Vec<Timestamp> = self
                .members
                .iter()
                .filter(|one| one.route.revision == rollout.deploying && is_ready(&one.route))
                .map(|one| one.route.settled_at())
                .collect();
            let resumes =
                config.targets.contains(&0) || settled.iter().any(|at| *at < rollout.resumed_at);
            if !waits || !resumes {
                rollout.resumed_at = rollout.since;
            }
            let matters = |at: Timestamp| ordered || at == self.now || settled.contains(&at);
            collapse_rollout(rollout, |at| waits && matters(at), self.now, &caps);
        }
    }

    /// The latest change among green that are all ready, and for how long that
    /// one has been, as long as the target stays: any later change is younger
    /// than all, so that nothing else about them can matter.
    fn latest_change(&self, config: &Config) -> Option<(Timestamp, u8)> {
        let target = self.deployment.target_replicas as usize;
        let ready = || self.green().filter(|member| is_ready(&member.route));
        if !self.waits(config) || ready().count() < target {
            return None;
        }
        let settled_at = ready().map(|member| member.route.settled_at()).max()?;
        Some((settled_at, ready().map(|member| member.held).min()?))
    }

    /// Whether it can come to matter which of the ready green is younger.
    fn orders_green(&self, config: &Config) -> bool {
        self.waits(config) && config.targets.len() > 1
    }

    /// What the creation of a route is compared with: when revisions were
    /// activated, and failures of its own.
    fn barriers(&self, config: &Config) -> Vec<(Option<RevisionId>, Timestamp)> {
        let mut barriers = vec![(None, self.deployment.current_since)];
        if let Some(rollout) = self.deployment.state.rollout() {
            barriers.push((None, rollout.since));
        }
        if config.failures > 1 {
            let failed = self.routes().filter(|route| route.has_failed());
            barriers.extend(failed.map(|route| (Some(route.revision), route.status_updated_at)));
        }
        barriers
    }

    /// Times become relative to now, and no older than they have to be: exact
    /// up to what they are compared with, and beyond that only in order.
    fn shift(&mut self, caps: &Caps) {
        let mut times = vec![(self.now, 0)];
        self.each_time(caps, |time, cap| times.push((*time, cap)));
        times.sort_unstable_by(|one, other| other.cmp(one));
        let mut shifted: Vec<(Timestamp, Timestamp)> = Vec::with_capacity(times.len());
        let mut last = NOW;
        for same in times.chunk_by(|one, other| one.0 == other.0) {
            let (time, cap) = same[0];
            let age = self.now.since(time);
            let exact = age.is_zero() || age < secs(cap.into());
            last = if exact {
                NOW - age
            } else {
                (last - Duration::from_micros(1)).min(NOW - secs(cap.into()))
            };
            shifted.push((time, last));
        }
        self.each_time(caps, |time, _| {
            let to = shifted.iter().find(|(from, _)| from == time);
            *time = to.expect("every time was collected").1;
        });
        self.now = NOW;
    }

    /// Every time that is compared with others, and up to which age its value
    /// matters.
    fn each_time(&mut self, caps: &Caps, mut visit: impl FnMut(&mut Timestamp, u8)) {
        visit(&mut self.deployment.current_since, 0);
        if let State::Deploying(rollout) = &mut self.deployment.state {
            visit(&mut rollout.since, 0);
            visit(&mut rollout.resumed_at, caps.settled);
            if let Some(steady) = &mut rollout.steady {
                // Green of nothing has been ready since it began.
                let nothing = steady.settled_at == rollout.since;
                let cap = if nothing { 0 } else { caps.settled };
                visit(&mut steady.settled_at, cap);
            }
        }
        let deploying = self.deployment.state.deploying();
        for Member { route, .. } in &mut self.members {
            visit(&mut route.created_at, 0);
            let cap = if route.status.is_over() {
                caps.back_off
            } else if Some(route.revision) == deploying && is_ready(route) {
                caps.settled
            } else {
                0
            };
            visit(&mut route.status_updated_at, cap);
        }
    }

    /// Sorts and numbers the routes: in the order of their ids where a decision
    /// may depend on it, and else by what they are.
    fn renumber(&mut self, config: &Config) {
        let deploying = self.deployment.state.deploying();
        let ordered = self.orders_green(config);
        self.members
            .sort_by_key(|member| (member.route.created_at, member.route.id));
        if config.is_ordered() {
            self.members
                .chunk_by_mut(|one, other| one.likeness() == other.likeness())
                .for_each(|alike| alike.sort_by_key(Member::condition));
        } else {
            // Stable: the order among those that keep it is that of their ids.
            self.members.sort_by_key(|member| {
                let route = &member.route;
                let keeps = ordered && Some(route.revision) == deploying && route.is_live();
                let traffic = route.traffic == Traffic::Active;
                let place = (route.created_at, traffic, route.retained_at);
                let condition = (!keeps).then(|| (place, member.condition()));
                (route.revision, keeps, condition)
            });
        }
        for (member, number) in self.members.iter_mut().zip(1_u128..) {
            member.route.id = RouteId(Uuid::from_u128(number));
        }
    }

    /// The current revision is the first, the deploying one the second.
    fn rename(&mut self) {
        let state = &self.deployment.state;
        let mut order: Vec<RevisionId> = state.current().into_iter().collect();
        order.extend(state.deploying());
        for route in self.routes() {
            if !order.contains(&route.revision) {
                order.push(route.revision);
            }
        }
        let named = |revision: RevisionId| {
            let place = order.iter().position(|known| *known == revision);
            RevisionId(Uuid::from_u128(place.map_or(0, |place| place as u128 + 1)))
        };
        let first = |current: Option<RevisionId>| current.map(named);
        let mut state = self.deployment.state;
        match &mut state {
            State::Pending { current }
            | State::Destroying { current }
            | State::Destroyed { current } => *current = first(*current),
            State::Ready { current } => *current = named(*current),
            State::Deploying(rollout) => {
                rollout.current = named(rollout.current);
                rollout.deploying = named(rollout.deploying);
            }
        }
        for member in &mut self.members {
            member.route.revision = named(member.route.revision);
        }
        self.deployment.state = state;
    }
}

impl Member {
    /// Keeps since when it is ready only as far as that is given.
    fn collapse(&mut self, settled_at: Option<Timestamp>, now: Timestamp, caps: &Caps) {
        let Self { route, held } = self;
        let failed = route.has_failed() && caps.back_off > 0;
        *held = settled_at.map_or(0, |_| (*held).min(caps.held));
        route.status_updated_at = match settled_at {
            Some(settled_at) => settled_at,
            None if failed => route.status_updated_at,
            None => route.created_at,
        };
        route.health_updated_at = None;
        if route.status != RouteStatus::Running {
            route.health = Health::NotChecked;
        }
        if route.has_failed() {
            route.status = RouteStatus::Terminated;
        }
        route.drained_at = route.drained_at.map(|_| LONG_AGO);
        route.retained_at = route
            .retained_at
            .map(|at| NOW - now.since(at).min(secs(caps.retained.into())));
    }

    /// Two routes that agree in this may change places: what they can still
    /// differ in comes before the id in every order.
    fn likeness(&self) -> impl PartialEq + use<> {
        let over = self.route.status.is_over();
        Route {
            id: RouteId(Uuid::nil()),
            status: if over {
                RouteStatus::Terminated
            } else {
                RouteStatus::Running
            },
            health: Health::NotChecked,
            ..self.route
        }
    }

    fn condition(&self) -> impl Ord + use<> {
        let Self { route, held } = self;
        (route.status, route.health, route.status_updated_at, *held)
    }
}

/// When a route was created, as far as that can matter: the last barrier before
/// it, or now, which the next barrier may be.
fn born(route: &Route, barriers: &[(Option<RevisionId>, Timestamp)], now: Timestamp) -> Timestamp {
    if route.created_at == now {
        return now;
    }
    let own = barriers
        .iter()
        .filter(|(of, _)| of.is_none_or(|of| of == route.revision));
    let passed = own
        .map(|barrier| barrier.1)
        .filter(|at| *at <= route.created_at);
    passed.max().unwrap_or(LONG_AGO)
}

fn collapse_rollout(
    rollout: &mut Rollout,
    matters: impl Fn(Timestamp) -> bool,
    now: Timestamp,
    caps: &Caps,
) {
    let back = rollout.step == Step::RollingBack;
    if back {
        rollout.best_ready = 0;
    }
    let limit = if back { 0 } else { caps.progress };
    rollout.progress = capped(rollout.progress, limit, now);
    if let Step::AwaitingPromotion { gate } = &mut rollout.step {
        *gate = capped(*gate, caps.gate, now);
    }
    rollout.steady = rollout.steady.map(|steady| Steady {
        settled_at: if matters(steady.settled_at) {
            steady.settled_at
        } else {
            LONG_AGO
        },
        watch: capped(steady.watch, caps.settled, now),
    });
}

/// The same stopwatch, which has measured no more than `cap` ticks.
fn capped(watch: Stopwatch, cap: u8, now: Timestamp) -> Stopwatch {
    let spent = watch.stopped(now).spent.min(secs(cap.into()));
    match watch.since {
        None => Stopwatch { spent, since: None },
        Some(_) => Stopwatch {
            spent: Duration::ZERO,
            since: Some(NOW - spent),
        },
    }
}
