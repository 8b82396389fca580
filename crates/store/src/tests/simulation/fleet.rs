//! The replicas of one deployment, with the reports of their scheduler and health checker,
//! which know only what they are assigned.

use std::{collections::BTreeMap, time::Duration};

use viridian_strategy::{
    RouteHealth::Healthy,
    RouteId, RouteStatus,
    RouteStatus::{FailedToStart, Running, Terminated, Terminating},
    Timestamp,
};

use super::{
    agenda::{EventSchedule, ScheduledEvent},
    generators::{
        behavior::{BehaviorRates, ReplicaLoss, RevisionBehavior, StartOutcome},
        rng::Rng,
    },
};
use crate::{Action, Assignment, HealthReport, StatusReport, tests::fixture::report};

#[derive(Default)]
pub(super) struct SimulatedReplicas {
    /// By the number of a revision.
    behaviors: BTreeMap<i64, RevisionBehavior>,
    replicas: BTreeMap<RouteId, SimulatedReplica>,
    /// Whether every replica starts and is healthy from now on.
    well: bool,
    /// How long a reported health counts: what is healthy is reported more often than that.
    health_ttl: Option<Duration>,
}

/// A report about a route.
#[derive(Clone, Debug)]
pub(super) enum ReplicaReport {
    Status(StatusReport),
    Health(HealthReport),
}

struct SimulatedReplica {
    behavior: RevisionBehavior,
    place: ReplicaPhase,
    stopping: bool,
    /// How often it was started anew in place.
    session: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReplicaPhase {
    Starting,
    Runs,
    Over,
}

impl SimulatedReplicas {
    pub(super) fn new(health_ttl: Option<Duration>) -> Self {
        Self {
            health_ttl,
            ..Self::default()
        }
    }

    pub(super) fn has(&self, id: RouteId) -> bool {
        self.replicas.contains_key(&id)
    }

    /// Takes an assignment of a revision's number. START is handed out until it is reported, and so
    /// comes again and again.
    pub(super) fn take(
        &mut self,
        assignment: &Assignment,
        number: i64,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut EventSchedule,
    ) {
        let id = assignment.route.view.id;
        match assignment.action {
            Action::Start if !self.replicas.contains_key(&id) => {
                let behavior = *self
                    .behaviors
                    .entry(number)
                    .or_insert_with(|| RevisionBehavior::at_random(rng, &RATES));
                let behavior = if self.well {
                    RevisionBehavior::Good
                } else {
                    behavior
                };
                let replica = SimulatedReplica {
                    behavior,
                    place: ReplicaPhase::Starting,
                    stopping: false,
                    session: 0,
                };
                self.replicas.insert(id, replica);
                self.begins(id, behavior, now, rng, agenda);
            }
            Action::Start => {}
            Action::Stop => {
                let replica = self.replicas.entry(id).or_insert(SimulatedReplica {
                    behavior: RevisionBehavior::Good,
                    place: ReplicaPhase::Starting,
                    stopping: false,
                    session: 0,
                });
                if !replica.stopping {
                    replica.stopping = true;
                    let slow = if self.well {
                        0
                    } else {
                        rng.pick(&[0, 0, 3, 30])
                    };
                    agenda.add(now + rng.wait(0, slow), ScheduledEvent::Ends(id));
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
        agenda: &mut EventSchedule,
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
            StartOutcome::Starts => ScheduledEvent::Starts(id),
            StartOutcome::Fails => ScheduledEvent::FailsToStart(id),
        };
        agenda.add(now + after, happening);
    }

    /// Applies an event. Returns the report that it leads to.
    pub(super) fn happen(
        &mut self,
        happening: &ScheduledEvent,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut EventSchedule,
    ) -> Option<ReplicaReport> {
        match *happening {
            ScheduledEvent::Starts(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != ReplicaPhase::Starting || replica.stopping {
                    return None;
                }
                replica.place = ReplicaPhase::Runs;
                let behavior = replica.behavior;
                self.has_started(id, behavior, now, rng, agenda);
                let mut running = self.report(id, Running);
                if !self.well && rng.one_in(15) {
                    running.address = None;
                    agenda.add(now + rng.wait(0, 30), ScheduledEvent::Address(id));
                }
                Some(ReplicaReport::Status(running))
            }
            ScheduledEvent::Address(id) | ScheduledEvent::Restarts(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != ReplicaPhase::Runs || replica.stopping {
                    return None;
                }
                if let ScheduledEvent::Restarts(_) = happening {
                    replica.session += 1;
                    agenda.add(now + rng.wait(0, 10), ScheduledEvent::Health(id));
                }
                Some(ReplicaReport::Status(self.report(id, Running)))
            }
            ScheduledEvent::Late(ref seen) => Some(ReplicaReport::Health(seen.clone())),
            ScheduledEvent::FailsToStart(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != ReplicaPhase::Starting || replica.stopping {
                    return None;
                }
                replica.place = ReplicaPhase::Over;
                Some(ReplicaReport::Status(self.report(id, FailedToStart)))
            }
            ScheduledEvent::Health(id) => self.is_checked(id, now, rng, agenda),
            ScheduledEvent::Vanishes(id) | ScheduledEvent::Ends(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place == ReplicaPhase::Over && !replica.stopping {
                    return None;
                }
                replica.place = ReplicaPhase::Over;
                Some(ReplicaReport::Status(self.report(id, Terminated)))
            }
            ScheduledEvent::Preempted(id) => {
                let replica = self.replicas.get_mut(&id)?;
                if replica.place != ReplicaPhase::Runs || replica.stopping {
                    return None;
                }
                replica.stopping = true;
                agenda.add(now + rng.wait(0, 10), ScheduledEvent::Ends(id));
                Some(ReplicaReport::Status(self.report(id, Terminating)))
            }
            ScheduledEvent::Again(ref report) => Some(report.clone()),
            ScheduledEvent::Poisoned(_)
            | ScheduledEvent::Cured
            | ScheduledEvent::Call
            | ScheduledEvent::Attend => None,
        }
    }

    fn has_started(
        &self,
        id: RouteId,
        behavior: RevisionBehavior,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut EventSchedule,
    ) {
        agenda.add(now + rng.wait(0, 5), ScheduledEvent::Health(id));
        if self.well {
            return;
        }
        if rng.one_in(20) {
            agenda.add(now + rng.wait(0, 120), ScheduledEvent::Restarts(id));
        }
        if let Some((after, loss)) = behavior.loss(rng, &RATES) {
            let happening = match loss {
                ReplicaLoss::Vanishes => ScheduledEvent::Vanishes(id),
                ReplicaLoss::Preempted => ScheduledEvent::Preempted(id),
            };
            agenda.add(now + after, happening);
        }
    }

    fn is_checked(
        &self,
        id: RouteId,
        now: Timestamp,
        rng: &mut Rng,
        agenda: &mut EventSchedule,
    ) -> Option<ReplicaReport> {
        let replica = self.replicas.get(&id)?;
        if replica.place != ReplicaPhase::Runs {
            return None;
        }
        let health = if self.well {
            if let Some(ttl) = self.health_ttl {
                agenda.add(now + ttl / 3, ScheduledEvent::Health(id));
            }
            Healthy
        } else {
            let health = replica.behavior.health(rng);
            let next = replica.behavior.next_check(health, rng, &RATES);
            agenda.add(now + next, ScheduledEvent::Health(id));
            health
        };
        let seen = HealthReport {
            observed_at: Some(now),
            session_id: session(replica.session),
            ..HealthReport::new(id, health)
        };
        if !self.well && rng.one_in(8) {
            // It is under way for long, or twice.
            agenda.add(now + rng.wait(0, 60), ScheduledEvent::Late(seen.clone()));
            if rng.one_in(2) {
                return None;
            }
        }
        Some(ReplicaReport::Health(seen))
    }

    fn report(&self, id: RouteId, status: RouteStatus) -> StatusReport {
        let number = self.replicas.get(&id).map_or(0, |it| it.session);
        StatusReport {
            session_id: session(number),
            ..report(id, status)
        }
    }

    /// From now on every replica starts, is healthy, and ends when it is stopped.
    pub(super) fn is_made_well(&mut self, now: Timestamp, agenda: &mut EventSchedule) {
        self.well = true;
        agenda.drop_replica_events();
        for (&id, replica) in &mut self.replicas {
            replica.behavior = RevisionBehavior::Good;
            let happening = match replica.place {
                _ if replica.stopping => ScheduledEvent::Ends(id),
                ReplicaPhase::Starting => ScheduledEvent::Starts(id),
                ReplicaPhase::Runs => {
                    // Its address and its session may not have been reported.
                    agenda.add(now, ScheduledEvent::Address(id));
                    ScheduledEvent::Health(id)
                }
                ReplicaPhase::Over => continue,
            };
            agenda.add(now, happening);
        }
    }
}

fn session(number: u32) -> String {
    format!("s{number}")
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
