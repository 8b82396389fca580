//! The fleet: what becomes of each route, and when.

use std::{cmp::Reverse, collections::BinaryHeap};

use viridian_strategy::{Health, RevisionId, RouteStatus, Timestamp};

use super::dice::Dice;
use crate::scene::{
    Degraded, FailedToStart, Healthy, NotChecked, Provisioning, Running, Scene, Terminated,
    Terminating, Unhealthy,
};

/// What is to happen, the earliest first.
#[derive(Default)]
pub(crate) struct Agenda {
    entries: BinaryHeap<Reverse<(Timestamp, u64, Happening)>>,
    count: u64,
}

/// Something that happens to the route with this index, or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Happening {
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
pub(crate) struct Fleet {
    kinds: [Kind; REVISIONS],
    /// Whether the end of each route is on the agenda.
    ending: Vec<bool>,
}

/// What a revision is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Good,
    Slow,
    FailsToStart,
    NeverHealthy,
    Flaps,
    Crashes,
}

/// How many revisions there are.
pub(crate) const REVISIONS: usize = 5;

impl Agenda {
    pub(crate) fn add(&mut self, at: Timestamp, happening: Happening) {
        self.count += 1;
        self.entries.push(Reverse((at, self.count, happening)));
    }

    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.entries.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn take(&mut self) -> Option<(Timestamp, Happening)> {
        let Reverse((at, _, happening)) = self.entries.pop()?;
        Some((at, happening))
    }
}

impl Fleet {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let kinds = [
            (6, Kind::Good),
            (1, Kind::Slow),
            (1, Kind::FailsToStart),
            (1, Kind::NeverHealthy),
            (1, Kind::Flaps),
            (1, Kind::Crashes),
        ];
        Self {
            kinds: std::array::from_fn(|_| dice.weighed(&kinds)),
            ending: Vec::new(),
        }
    }

    /// Puts on the agenda what becomes of routes that are new, or to be
    /// stopped.
    pub(crate) fn follow(&mut self, scene: &Scene, dice: &mut Dice, agenda: &mut Agenda) {
        for index in self.ending.len()..scene.routes.len() {
            self.ending.push(false);
            let fails = dice.one_in(25);
            let (at, happening) = match self.kind(scene.routes[index].revision) {
                Kind::FailsToStart => (dice.wait(0, 15), Happening::FailsToStart(index)),
                _ if fails => (dice.wait(0, 60), Happening::FailsToStart(index)),
                Kind::Slow => (dice.wait(30, 200), Happening::Starts(index)),
                // Hangs: neither starts nor fails.
                _ if dice.one_in(60) => continue,
                _ => (dice.wait(0, 20), Happening::Starts(index)),
            };
            agenda.add(scene.now + at, happening);
        }
        for (index, route) in scene.routes.iter().enumerate() {
            if route.status == Terminating && !self.ending[index] {
                self.ending[index] = true;
                let slow = dice.pick(&[0, 3, 10, 90]);
                let at = scene.now + scene.policy.drain_grace + dice.wait(0, slow);
                agenda.add(at, Happening::Ends(index));
            }
        }
    }

    /// Lets it happen, as the reports of it would; says whether any was taken.
    pub(crate) fn happen(
        &mut self,
        happening: Happening,
        scene: &mut Scene,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) -> bool {
        match happening {
            Happening::Starts(index) => {
                let taken = becomes(scene, index, Running);
                if taken {
                    self.has_started(index, scene, dice, agenda);
                }
                taken
            }
            Happening::FailsToStart(index) => becomes(scene, index, FailedToStart),
            Happening::Health(index) => self.is_checked(index, scene, dice, agenda),
            Happening::Vanishes(index) => {
                scene.routes[index].status == Running && becomes(scene, index, Terminated)
            }
            Happening::Preempted(index) => becomes(scene, index, Terminating),
            Happening::Ends(index) => becomes(scene, index, Terminated),
            Happening::Outage => outage(scene, dice),
            Happening::Call => false,
        }
    }

    fn has_started(&self, index: usize, scene: &mut Scene, dice: &mut Dice, agenda: &mut Agenda) {
        let now = scene.now;
        let kind = self.kind(scene.routes[index].revision);
        if kind == Kind::Good && dice.one_in(3) {
            scene.routes[index].observe(Healthy, now);
        }
        agenda.add(now + dice.wait(0, 10), Happening::Health(index));
        if kind == Kind::Crashes {
            agenda.add(now + dice.wait(1, 60), Happening::Vanishes(index));
        } else if dice.one_in(15) {
            agenda.add(now + dice.wait(1, 600), Happening::Vanishes(index));
        } else if dice.one_in(40) {
            agenda.add(now + dice.wait(1, 600), Happening::Preempted(index));
        }
    }

    fn is_checked(
        &self,
        index: usize,
        scene: &mut Scene,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) -> bool {
        let route = &mut scene.routes[index];
        if route.status.is_over() {
            return false;
        }
        let health = match self.kind(route.revision) {
            Kind::NeverHealthy => dice.pick(&[NotChecked, Unhealthy, Degraded]),
            Kind::Flaps => dice.pick(&[Healthy, Healthy, Unhealthy, Degraded, NotChecked]),
            _ => dice.weighed(&[
                (15, Healthy),
                (1, Unhealthy),
                (1, Degraded),
                (1, NotChecked),
            ]),
        };
        let next = match (health, self.kind(route.revision)) {
            (Healthy, Kind::Flaps) => dice.wait(1, 40),
            (Healthy, _) => dice.wait(60, 900),
            _ => dice.wait(1, 30),
        };
        let news = route.health != health;
        route.observe(health, scene.now);
        agenda.add(scene.now + next, Happening::Health(index));
        news
    }

    fn kind(&self, revision: RevisionId) -> Kind {
        let number = usize::try_from(revision.0.as_u128()).expect("a small number");
        self.kinds[(number - 1) % REVISIONS]
    }
}

/// A report of another status, if the store would take it.
fn becomes(scene: &mut Scene, index: usize, status: RouteStatus) -> bool {
    let now = scene.now;
    let route = &mut scene.routes[index];
    let taken = route.status.may_become(status);
    if taken {
        route.move_to(status, now);
    }
    taken
}

/// Half of all routes, or all, lose their health or end.
fn outage(scene: &mut Scene, dice: &mut Dice) -> bool {
    let all = dice.one_in(2);
    let health: Option<Health> = dice.pick(&[None, Some(Unhealthy), Some(Degraded)]);
    for index in 0..scene.routes.len() {
        let route = &mut scene.routes[index];
        if route.status != Running || !(all || dice.one_in(2)) {
            continue;
        }
        match health {
            Some(health) => route.observe(health, scene.now),
            None => route.move_to(Terminated, scene.now),
        }
    }
    true
}

/// From now on every route comes up, is healthy, and ends when it is told to.
/// Says whether there was anything to be made well.
pub(crate) fn make_well(scene: &mut Scene) -> bool {
    let now = scene.now;
    let mut any = false;
    for route in &mut scene.routes {
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
