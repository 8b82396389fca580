//! The fleet: what becomes of each route, and when.

use std::{cmp::Reverse, collections::BinaryHeap};

use viridian_strategy::{RevisionId, RouteHealth, RouteStatus, Timestamp};

use super::rng::Rng;
use crate::case::{
    DecisionCase, Degraded, FailedToStart, Healthy, NotChecked, Provisioning, Running, Terminated,
    Terminating, Unhealthy,
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
    /// Ends without having been drained.
    Vanishes(usize),
    /// Is stopped by the scheduler without having been drained.
    Preempted(usize),
    Ends(usize),
    /// Many are hit at once.
    Outage,
    /// A caller calls.
    Call,
}

/// The replicas, as the scheduler and the health checker know them.
pub(crate) struct SimulatedFleet {
    kinds: [ReportKind; REVISIONS],
    /// Whether the end of each route is on the queue.
    ending: Vec<bool>,
}

/// What a revision is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReportKind {
    Good,
    Slow,
    FailsToStart,
    NeverHealthy,
    Flaps,
    Crashes,
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
        let kinds = [
            (6, ReportKind::Good),
            (1, ReportKind::Slow),
            (1, ReportKind::FailsToStart),
            (1, ReportKind::NeverHealthy),
            (1, ReportKind::Flaps),
            (1, ReportKind::Crashes),
        ];
        Self {
            kinds: std::array::from_fn(|_| rng.weighed(&kinds)),
            ending: Vec::new(),
        }
    }

    /// Puts on the queue what becomes of routes that are new, or to be
    /// stopped.
    pub(crate) fn follow(&mut self, case: &DecisionCase, rng: &mut Rng, queue: &mut EventQueue) {
        for index in self.ending.len()..case.routes.len() {
            self.ending.push(false);
            let fails = rng.one_in(25);
            let (at, event) = match self.kind(case.routes[index].revision) {
                ReportKind::FailsToStart => (rng.wait(0, 15), FleetEvent::FailsToStart(index)),
                _ if fails => (rng.wait(0, 60), FleetEvent::FailsToStart(index)),
                ReportKind::Slow => (rng.wait(30, 200), FleetEvent::Starts(index)),
                // Hangs: neither starts nor fails.
                _ if rng.one_in(60) => continue,
                _ => (rng.wait(0, 20), FleetEvent::Starts(index)),
            };
            queue.add(case.now + at, event);
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
            FleetEvent::Vanishes(index) => {
                case.routes[index].status == Running && becomes(case, index, Terminated)
            }
            FleetEvent::Preempted(index) => becomes(case, index, Terminating),
            FleetEvent::Ends(index) => becomes(case, index, Terminated),
            FleetEvent::Outage => outage(case, rng),
            FleetEvent::Call => false,
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
        let kind = self.kind(case.routes[index].revision);
        if kind == ReportKind::Good && rng.one_in(3) {
            case.routes[index].observe(Healthy, now);
        }
        queue.add(now + rng.wait(0, 10), FleetEvent::Health(index));
        if kind == ReportKind::Crashes {
            queue.add(now + rng.wait(1, 60), FleetEvent::Vanishes(index));
        } else if rng.one_in(15) {
            queue.add(now + rng.wait(1, 600), FleetEvent::Vanishes(index));
        } else if rng.one_in(40) {
            queue.add(now + rng.wait(1, 600), FleetEvent::Preempted(index));
        }
    }

    fn is_checked(
        &self,
        index: usize,
        case: &mut DecisionCase,
        rng: &mut Rng,
        queue: &mut EventQueue,
    ) -> bool {
        let route = &mut case.routes[index];
        if route.status.is_over() {
            return false;
        }
        let health = match self.kind(route.revision) {
            ReportKind::NeverHealthy => rng.pick(&[NotChecked, Unhealthy, Degraded]),
            ReportKind::Flaps => rng.pick(&[Healthy, Healthy, Unhealthy, Degraded, NotChecked]),
            _ => rng.weighed(&[
                (15, Healthy),
                (1, Unhealthy),
                (1, Degraded),
                (1, NotChecked),
            ]),
        };
        let next = match (health, self.kind(route.revision)) {
            (Healthy, ReportKind::Flaps) => rng.wait(1, 40),
            (Healthy, _) => rng.wait(60, 900),
            _ => rng.wait(1, 30),
        };
        let news = route.health != health;
        route.observe(health, case.now);
        queue.add(case.now + next, FleetEvent::Health(index));
        news
    }

    fn kind(&self, revision: RevisionId) -> ReportKind {
        let number = usize::try_from(revision.0.as_u128()).expect("a small number");
        self.kinds[(number - 1) % REVISIONS]
    }
}

/// A report of another status, if the store would take it.
fn becomes(case: &mut DecisionCase, index: usize, status: RouteStatus) -> bool {
    let now = case.now;
    let route = &mut case.routes[index];
    let taken = route.status.may_become(status);
    if taken {
        route.move_to(status, now);
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
                route.observe(Healthy, now);
            }
            Terminating => route.move_to(Terminated, now),
            Terminated | FailedToStart => {}
        }
        any |= *route != before;
    }
    any
}
