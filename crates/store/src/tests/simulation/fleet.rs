//! The fleet of one deployment: what becomes of each replica, and what its
//! scheduler and its health checker say of it. They know nothing but what they
//! are assigned.

use std::collections::BTreeMap;

use viridian_strategy::{
    RouteHealth::Healthy,
    RouteId,
    RouteStatus::{FailedToStart, Running, Terminated, Terminating},
    Timestamp,
};

use super::{
    agenda::{Agenda, Happening},
    generators::{
        behavior::{BehaviorRates, ReplicaLoss, RevisionBehavior, StartOutcome},
        rng::Rng,
    },
};
use crate::{Action, Assignment, HealthReport, StatusReport, tests::fixture::report};

#[derive(Default)]
pub(super) struct Fleet {
    /// By the number of a revision.
    behaviors: BTreeMap<i64, RevisionBehavior>,
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

struct Replica {
    behavior: RevisionBehavior,
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
        rng: &mut Rng,
        agenda: &mut Agenda,
    ) {
        let id = assignment.route.view.id;
        match assignment.action {
            Action::Start if !self.replicas.contains_key(&id) => {
                let number = assignment.revision.number;
                let behavior = *self
                    .behaviors
                    .entry(number)
                    .or_insert_with(|| RevisionBehavior::at_random(rng, &RATES));
                let behavior = if self.well {
                    RevisionBehavior::Good
                } else {
                    behavior
                };
                let replica = Replica {
                    behavior,
                    place: Place::Starting,
                    stopping: false,
                };
                self.replicas.insert(id, replica);
                self.begins(id, behavior, now, rng, agenda);
            }
            Action::Start => {}
            Action::Stop => {
                let replica = self.replicas.entry(id).or_insert(Replica {
                    behavior: RevisionBehavior::Good,
                    place: Place::Starting,
                    stopping: false,
                });
                if !replica.stopping {
                    replica.stopping = true;
                    let slow = if self.well {
                        0
                    } else {
                        rng.pick(&[0, 0, 3, 30])
                    };
                    agenda.add(now + rng.wait(0, slow), Happening::Ends(id));
                }
            }
        }
    }

    fn begins(
        &self,
        id: RouteId,
        behavior: RevisionBehavior,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut Agenda,
    ) {
        let (after, outcome) = if self.well {
            (rng.wait(0, RATES.start_within), StartOutcome::Starts)
        } else {
            match behavior.start(rng, &RATES) {
                Some(start) => start,
                None => return,
            }
        };
        let happening = match outcome {
            StartOutcome::Starts => Happening::Starts(id),
            StartOutcome::Fails => Happening::FailsToStart(id),
        };
        agenda.add(now + after, happening);
    }

    /// Lets something happen; gives what is said of it.
    pub(super) fn happen(
        &mut self,
        happening: &Happening,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut Agenda,
    ) -> Option<Report> {
        match *happening {
            Happening::Starts(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != Place::Starting || replica.stopping {
                    return None;
                }
                replica.place = Place::Runs;
                let behavior = replica.behavior;
                self.has_started(id, behavior, now, rng, agenda);
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
            Happening::Health(id) => self.is_checked(id, now, rng, agenda),
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
                agenda.add(now + rng.wait(0, 10), Happening::Ends(id));
                Some(Report::Status(report(id, Terminating)))
            }
            Happening::Again(ref report) => Some(report.clone()),
            Happening::Poisoned(_) | Happening::Cured | Happening::Call | Happening::Attend => None,
        }
    }

    fn has_started(
        &self,
        id: RouteId,
        behavior: RevisionBehavior,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut Agenda,
    ) {
        agenda.add(now + rng.wait(0, 5), Happening::Health(id));
        if self.well {
            return;
        }
        if let Some((after, loss)) = behavior.loss(rng, &RATES) {
            let happening = match loss {
                ReplicaLoss::Vanishes => Happening::Vanishes(id),
                ReplicaLoss::Preempted => Happening::Preempted(id),
            };
            agenda.add(now + after, happening);
        }
    }

    fn is_checked(
        &self,
        id: RouteId,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut Agenda,
    ) -> Option<Report> {
        let replica = self.replicas.get(&id)?;
        if replica.place != Place::Runs {
            return None;
        }
        let health = if self.well {
            Healthy
        } else {
            let health = replica.behavior.health(rng);
            let next = replica.behavior.next_check(health, rng, &RATES);
            agenda.add(now + next, Happening::Health(id));
            health
        };
        Some(Report::Health(HealthReport { route: id, health }))
    }

    /// From now on every replica comes up, is healthy, and ends when it is told
    /// to.
    pub(super) fn is_made_well(&mut self, now: Timestamp, agenda: &mut Agenda) {
        self.well = true;
        agenda.forget_fates();
        for (&id, replica) in &mut self.replicas {
            replica.behavior = RevisionBehavior::Good;
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

const RATES: BehaviorRates = BehaviorRates {
    good: 7,
    start_within: 6,
    slow_start: (15, 60),
    failure_within: 8,
    accident_one_in: 25,
    accident_within: 20,
    hang_one_in: 50,
    crash_within: 30,
    vanish_one_in: 12,
    preempt_one_in: 30,
    loss_within: 200,
    healthy_check: (40, 300),
    flapping_check_within: 25,
    unhealthy_check_within: 15,
};
