//! The fleet: what becomes of each route, and when.

use std::{cmp::Reverse, collections::BinaryHeap};

use viridian_strategy::{ObservedRoute, RevisionId, RouteHealth, RouteStatus, Timestamp};

use crate::{
    case::{
        DecisionCase, Degraded, FailedToStart, Healthy, NotChecked, Provisioning, Running,
        Terminated, Terminating, Unhealthy,
    },
    generators::{
        behavior::{BehaviorRates, ReplicaLoss, RevisionBehavior, StartOutcome},
        rng::Rng,
    },
};

/// What is to happen, the earliest first.
#[derive(Default)]
pub(crate) struct EventQueue {
    entries: BinaryHeap<Reverse<(Timestamp, u64, FleetEvent)>>,
    count: u64,
}

/// Something that happens to the route with this index, or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FleetEvent {
    Starts(usize),
    FailsToStart(usize),
    Health(usize),
    /// A report of what was seen earlier, which others may have overtaken.
    LateHealth(usize, RouteHealth, Timestamp),
    /// It runs already, and now it is known where.
    Address(usize),
    /// Is started anew in place: another session of the same route.
    Restarts(usize),
    /// Ends without having been drained.
    Vanishes(usize),
    /// Is stopped by the scheduler without having been drained.
    Preempted(usize),
    Ends(usize),
    /// Many are hit at once.
    Outage,
    /// Someone sets back the clock that decides.
    ClockSetBack,
    /// The health checker fails for a moment: every route looks bad.
    Hiccup,
    /// The route looks as it did before.
    Recovers(usize),
    /// A caller calls.
    Call,
}

/// The replicas, as the scheduler and the health checker know them.
pub(crate) struct SimulatedFleet {
    behaviors: [RevisionBehavior; REVISIONS],
    /// Whether the end of each route is on the queue.
    ending: Vec<bool>,
}

/// How many revisions there are.
pub(crate) const REVISIONS: usize = 5;

impl EventQueue {
    pub(crate) fn add(&mut self, at: Timestamp, event: FleetEvent) {
        self.count += 1;
        self.entries.push(Reverse((at, self.count, event)));
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.entries.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn take(&mut self) -> Option<(Timestamp, FleetEvent)> {
        let Reverse((at, _, event)) = self.entries.pop()?;
        Some((at, event))
    }
}

impl SimulatedFleet {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self {
            behaviors: std::array::from_fn(|_| RevisionBehavior::at_random(rng, &RATES)),
            ending: Vec::new(),
        }
    }

    /// Puts on the queue what becomes of routes that are new, or to be
    /// stopped.
    pub(crate) fn follow(&mut self, case: &DecisionCase, rng: &mut Rng, queue: &mut EventQueue) {
        for index in self.ending.len()..case.routes.len() {
            self.ending.push(false);
            let behavior = self.behavior(case.routes[index].revision);
            if let Some((after, outcome)) = behavior.start(rng, &RATES) {
                let event = match outcome {
                    StartOutcome::Starts => FleetEvent::Starts(index),
                    StartOutcome::Fails => FleetEvent::FailsToStart(index),
                };
                queue.add(case.now + after, event);
            }
        }
        for (index, route) in case.routes.iter().enumerate() {
            if route.status == Terminating && !self.ending[index] {
                self.ending[index] = true;
                let slow = rng.pick(&[0, 3, 10, 90]);
                let at = case.now + case.policy.drain_grace + rng.wait(0, slow);
                queue.add(at, FleetEvent::Ends(index));
            }
        }
    }

    /// Lets it happen, as the reports of it would; says whether any was taken.
    pub(crate) fn happen(
        &mut self,
        event: FleetEvent,
        case: &mut DecisionCase,
        rng: &mut Rng,
        queue: &mut EventQueue,
    ) -> bool {
        match event {
            FleetEvent::Starts(index) => {
                let taken = becomes(case, index, Running);
                if taken {
                    self.has_started(index, case, rng, queue);
                }
                taken
            }
            FleetEvent::FailsToStart(index) => becomes(case, index, FailedToStart),
            FleetEvent::Health(index) => self.is_checked(index, case, rng, queue),
            FleetEvent::LateHealth(index, health, seen) => is_seen(index, health, seen, case),
            FleetEvent::Address(index) => {
                let route = &mut case.routes[index];
                let news = route.status == Running && !route.has_address;
                route.has_address |= news;
                news
            }
            FleetEvent::Restarts(index) => {
                let runs = case.routes[index].status == Running;
                if runs {
                    case.routes[index].begin_session(case.now);
                    queue.add(case.now + rng.wait(0, 20), FleetEvent::Health(index));
                }
                runs
            }
            FleetEvent::Vanishes(index) => {
                case.routes[index].status == Running && becomes(case, index, Terminated)
            }
            FleetEvent::Preempted(index) => becomes(case, index, Terminating),
            FleetEvent::Ends(index) => becomes(case, index, Terminated),
            FleetEvent::Outage => outage(case, rng),
            FleetEvent::Hiccup => hiccup(case, rng, queue),
            FleetEvent::Recovers(index) => {
                let taken = case.routes[index].status == Running;
                if taken {
                    case.routes[index].observe(Healthy, case.now);
                }
                taken
            }
            FleetEvent::ClockSetBack | FleetEvent::Call => false,
        }
    }

    fn has_started(
        &self,
        index: usize,
        case: &mut DecisionCase,
        rng: &mut Rng,
        queue: &mut EventQueue,
    ) {
        let now = case.now;
        if rng.one_in(15) {
            case.routes[index].has_address = false;
            queue.add(now + rng.wait(0, 60), FleetEvent::Address(index));
        }
        if rng.one_in(30) {
            queue.add(now + rng.wait(0, 300), FleetEvent::Restarts(index));
        }
        let behavior = self.behavior(case.routes[index].revision);
        if behavior == RevisionBehavior::Good && rng.one_in(3) {
            case.routes[index].observe(Healthy, now);
        }
        queue.add(now + rng.wait(0, 10), FleetEvent::Health(index));
        if let Some((after, loss)) = behavior.loss(rng, &RATES) {
            let event = match loss {
                ReplicaLoss::Vanishes => FleetEvent::Vanishes(index),
                ReplicaLoss::Preempted => FleetEvent::Preempted(index),
            };
            queue.add(now + after, event);
        }
    }

    fn is_checked(
        &self,
        index: usize,
        case: &mut DecisionCase,
        rng: &mut Rng,
        queue: &mut EventQueue,
    ) -> bool {
        let route = &case.routes[index];
        if route.status.is_over() {
            return false;
        }
        let behavior = self.behavior(route.revision);
        let health = behavior.health(rng);
        let next = behavior.next_check(health, rng, &RATES);
        queue.add(case.now + next, FleetEvent::Health(index));
        if rng.one_in(10) {
            let late = FleetEvent::LateHealth(index, health, case.now);
            queue.add(case.now + rng.wait(0, 60), late);
            return false;
        }
        is_seen(index, health, case.now, case)
    }

    fn behavior(&self, revision: RevisionId) -> RevisionBehavior {
        let number = usize::try_from(revision.0.as_u128()).expect("a small number");
        self.behaviors[(number - 1) % REVISIONS]
    }
}

/// A report of a health, if the store would take it. Says whether it was news.
fn is_seen(index: usize, health: RouteHealth, seen: Timestamp, case: &mut DecisionCase) -> bool {
    let route = &mut case.routes[index];
    let overtaken = route.later_observation(seen, false, case.now).is_some();
    if route.status.is_over() || overtaken {
        return false;
    }
    let news = route.health != health;
    route.apply_observation(health, seen, case.now);
    news
}

/// A report of another status, if the store would take it.
fn becomes(case: &mut DecisionCase, index: usize, status: RouteStatus) -> bool {
    let now = case.now;
    let route = &mut case.routes[index];
    let taken = route.status.may_become(status);
    if taken {
        route.move_to(status, now);
        route.has_address |= status == Running;
    }
    taken
}

/// Half of all routes, or all, lose their health or end.
fn outage(case: &mut DecisionCase, rng: &mut Rng) -> bool {
    let all = rng.one_in(2);
    let health: Option<RouteHealth> = rng.pick(&[None, Some(Unhealthy), Some(Degraded)]);
    for index in 0..case.routes.len() {
        let route = &mut case.routes[index];
        if route.status != Running || !(all || rng.one_in(2)) {
            continue;
        }
        match health {
            Some(health) => route.observe(health, case.now),
            None => route.move_to(Terminated, case.now),
        }
    }
    true
}

/// All routes that were healthy look otherwise, and are healthy again a moment later.
fn hiccup(case: &mut DecisionCase, rng: &mut Rng, queue: &mut EventQueue) -> bool {
    let health = rng.pick(&[Unhealthy, Degraded, NotChecked]);
    let end = case.now + rng.wait(0, 3);
    for index in 0..case.routes.len() {
        let route = &mut case.routes[index];
        if route.is_ready() {
            route.observe(health, case.now);
            queue.add(end, FleetEvent::Recovers(index));
        }
    }
    true
}

/// From now on every route starts, is healthy, and ends once it is drained.
/// Says whether there was anything to be made well.
pub(crate) fn make_well(case: &mut DecisionCase) -> bool {
    let now = case.now;
    let mut any = false;
    for route in &mut case.routes {
        let before = *route;
        match route.status {
            Provisioning | Running => {
                route.move_to(Running, now);
                route.has_address = true;
                route.observe(Healthy, now);
            }
            Terminating => route.move_to(Terminated, now),
            Terminated | FailedToStart => {}
        }
        // That a health is confirmed is no news.
        let seen = route.health_observed_at;
        any |= *route
            != ObservedRoute {
                health_observed_at: seen,
                ..before
            };
    }
    any
}

const RATES: BehaviorRates = BehaviorRates {
    good: 6,
    start_within: 20,
    slow_start: (30, 200),
    failure_within: 15,
    accident_one_in: 25,
    accident_within: 60,
    hang_one_in: 60,
    crash_within: 60,
    vanish_one_in: 15,
    preempt_one_in: 40,
    loss_within: 600,
    healthy_check: (60, 900),
    flapping_check_within: 40,
    unhealthy_check_within: 30,
};
