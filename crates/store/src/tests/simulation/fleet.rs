//! The fleet of one deployment: what becomes of each replica, and what its
//! scheduler and its health checker say of it. They know nothing but what they
//! are assigned.

use std::collections::BTreeMap;

use viridian_strategy::{
    RouteHealth::{self, Degraded, Healthy, NotChecked, Unhealthy},
    RouteId,
    RouteStatus::{FailedToStart, Running, Terminated, Terminating},
    Timestamp,
};

use super::{
    agenda::{Agenda, Happening},
    dice::Dice,
};
use crate::{Action, Assignment, HealthReport, StatusReport, tests::fixture::report};

#[derive(Default)]
pub(super) struct Fleet {
    /// By the number of a revision.
    kinds: BTreeMap<i64, Kind>,
    replicas: BTreeMap<RouteId, Replica>,
    /// Whether all goes well from now on.
    well: bool,
}

/// What is said of a route.
#[derive(Clone, Debug)]
pub(super) enum Report {
    Status(StatusReport),
    Health(HealthReport),
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

struct Replica {
    kind: Kind,
    place: Place,
    stopping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Starting,
    Runs,
    Over,
}

impl Fleet {
    /// Takes an assignment. START is handed out until it is reported, and so
    /// comes again and again.
    pub(super) fn take(
        &mut self,
        assignment: &Assignment,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        let id = assignment.route.view.id;
        match assignment.action {
            Action::Start if !self.replicas.contains_key(&id) => {
                let number = assignment.revision.number;
                let kind = *self.kinds.entry(number).or_insert_with(|| Kind::of(dice));
                let kind = if self.well { Kind::Good } else { kind };
                let replica = Replica {
                    kind,
                    place: Place::Starting,
                    stopping: false,
                };
                self.replicas.insert(id, replica);
                self.begins(id, kind, now, dice, agenda);
            }
            Action::Start => {}
            Action::Stop => {
                let replica = self.replicas.entry(id).or_insert(Replica {
                    kind: Kind::Good,
                    place: Place::Starting,
                    stopping: false,
                });
                if !replica.stopping {
                    replica.stopping = true;
                    let slow = if self.well {
                        0
                    } else {
                        dice.pick(&[0, 0, 3, 30])
                    };
                    agenda.add(now + dice.wait(0, slow), Happening::Ends(id));
                }
            }
        }
    }

    fn begins(
        &self,
        id: RouteId,
        kind: Kind,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        let fails = !self.well && dice.one_in(25);
        let (wait, happening) = match kind {
            Kind::FailsToStart => (dice.wait(0, 8), Happening::FailsToStart(id)),
            _ if fails => (dice.wait(0, 20), Happening::FailsToStart(id)),
            Kind::Slow => (dice.wait(15, 60), Happening::Starts(id)),
            // Hangs: neither starts nor fails.
            _ if !self.well && dice.one_in(50) => return,
            _ => (dice.wait(0, 6), Happening::Starts(id)),
        };
        agenda.add(now + wait, happening);
    }

    /// Lets something happen; gives what is said of it.
    pub(super) fn happen(
        &mut self,
        happening: &Happening,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) -> Option<Report> {
        match *happening {
            Happening::Starts(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != Place::Starting || replica.stopping {
                    return None;
                }
                replica.place = Place::Runs;
                let kind = replica.kind;
                self.has_started(id, kind, now, dice, agenda);
                Some(Report::Status(report(id, Running)))
            }
            Happening::FailsToStart(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != Place::Starting || replica.stopping {
                    return None;
                }
                replica.place = Place::Over;
                Some(Report::Status(report(id, FailedToStart)))
            }
            Happening::Health(id) => self.is_checked(id, now, dice, agenda),
            Happening::Vanishes(id) | Happening::Ends(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place == Place::Over && !replica.stopping {
                    return None;
                }
                replica.place = Place::Over;
                Some(Report::Status(report(id, Terminated)))
            }
            Happening::Preempted(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != Place::Runs || replica.stopping {
                    return None;
                }
                replica.stopping = true;
                agenda.add(now + dice.wait(0, 10), Happening::Ends(id));
                Some(Report::Status(report(id, Terminating)))
            }
            Happening::Again(ref report) => Some(report.clone()),
            Happening::Poisoned(_) | Happening::Cured | Happening::Call | Happening::Attend => None,
        }
    }

    fn has_started(
        &self,
        id: RouteId,
        kind: Kind,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) {
        agenda.add(now + dice.wait(0, 5), Happening::Health(id));
        if self.well {
            return;
        }
        if kind == Kind::Crashes {
            agenda.add(now + dice.wait(1, 30), Happening::Vanishes(id));
        } else if dice.one_in(12) {
            agenda.add(now + dice.wait(1, 200), Happening::Vanishes(id));
        } else if dice.one_in(30) {
            agenda.add(now + dice.wait(1, 200), Happening::Preempted(id));
        }
    }

    fn is_checked(
        &self,
        id: RouteId,
        now: Timestamp,
        dice: &mut Dice,
        agenda: &mut Agenda,
    ) -> Option<Report> {
        let replica = self.replicas.get(&id)?;
        if replica.place != Place::Runs {
            return None;
        }
        let health = self.health(replica.kind, dice);
        // A checker that is well has said it all.
        if !self.well {
            let next = match (health, replica.kind) {
                (Healthy, Kind::Flaps) => dice.wait(1, 25),
                (Healthy, _) => dice.wait(40, 300),
                _ => dice.wait(1, 15),
            };
            agenda.add(now + next, Happening::Health(id));
        }
        Some(Report::Health(HealthReport { route: id, health }))
    }

    fn health(&self, kind: Kind, dice: &mut Dice) -> RouteHealth {
        if self.well {
            return Healthy;
        }
        match kind {
            Kind::NeverHealthy => dice.pick(&[NotChecked, Unhealthy, Degraded]),
            Kind::Flaps => dice.pick(&[Healthy, Healthy, Unhealthy, Degraded, NotChecked]),
            _ => dice.weighed(&[
                (15, Healthy),
                (1, Unhealthy),
                (1, Degraded),
                (1, NotChecked),
            ]),
        }
    }

    /// From now on every replica comes up, is healthy, and ends when it is told
    /// to.
    pub(super) fn is_made_well(&mut self, now: Timestamp, agenda: &mut Agenda) {
        self.well = true;
        agenda.forget_fates();
        for (&id, replica) in &mut self.replicas {
            replica.kind = Kind::Good;
            let happening = match replica.place {
                _ if replica.stopping => Happening::Ends(id),
                Place::Starting => Happening::Starts(id),
                Place::Runs => Happening::Health(id),
                Place::Over => continue,
            };
            agenda.add(now, happening);
        }
    }
}

impl Kind {
    fn of(dice: &mut Dice) -> Self {
        dice.weighed(&[
            (7, Self::Good),
            (1, Self::Slow),
            (1, Self::FailsToStart),
            (1, Self::NeverHealthy),
            (1, Self::Flaps),
            (1, Self::Crashes),
        ])
    }
}
