//! The schedule of events of one deployment.

use std::{collections::BTreeMap, time::Duration};

use viridian_strategy::{RouteId, Timestamp};

use super::{fleet::ReplicaReport, poison::RowDamage};
use crate::HealthReport;

/// Events by time, the earliest first.
#[derive(Default)]
pub(super) struct EventSchedule {
    entries: BTreeMap<(Timestamp, u64), ScheduledEvent>,
    count: u64,
    /// No event of the replicas is taken before this time, so that none overtakes a
    /// report that is to be repeated.
    stalled_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) enum ScheduledEvent {
    Starts(RouteId),
    FailsToStart(RouteId),
    /// Its health is checked.
    Health(RouteId),
    /// A report of what was seen earlier arrives, which others may have overtaken.
    Late(HealthReport),
    /// It runs already, and now it is known where.
    Address(RouteId),
    /// It is started anew in place: another session of the same route.
    Restarts(RouteId),
    /// It ends without having been drained.
    Vanishes(RouteId),
    /// The scheduler stops it by itself.
    Preempted(RouteId),
    Ends(RouteId),
    /// A report that failed is repeated.
    Again(ReplicaReport),
    /// Its rows are damaged.
    Poisoned(RowDamage),
    /// They are mended.
    Cured,
    /// A caller makes a call.
    Call,
    /// All replicas become healthy, and an operator brings the deployment to rest.
    Attend,
}

impl EventSchedule {
    pub(super) fn add(&mut self, at: Timestamp, happening: ScheduledEvent) {
        self.count += 1;
        self.entries.insert((at, self.count), happening);
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Whether nothing is left but checks, which go on for ever.
    pub(super) fn has_only_checks(&self) -> bool {
        let mut entries = self.entries.values();
        entries.all(|it| matches!(it, ScheduledEvent::Health(_)))
    }

    /// Takes the next event that is due.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<ScheduledEvent> {
        while self.next_at()? <= now {
            let (_, happening) = self.entries.pop_first()?;
            match self.stalled_until {
                Some(until) if until > now && happening.is_of_fleet() => {
                    self.add(until, happening);
                }
                _ => return Some(happening),
            }
        }
        None
    }

    /// Repeats a report, before any later event of the replicas.
    pub(super) fn stall(&mut self, now: Timestamp, report: ReplicaReport) {
        let until = now + STALL_TIME;
        self.stalled_until = Some(until);
        self.add(until, ScheduledEvent::Again(report));
    }

    /// Drops the events of the replicas, but for reports that are to be repeated.
    pub(super) fn drop_replica_events(&mut self) {
        self.entries
            .retain(|_, it| !it.is_of_fleet() || matches!(it, ScheduledEvent::Again(_)));
    }
}

impl ScheduledEvent {
    fn is_of_fleet(&self) -> bool {
        match self {
            Self::Starts(_)
            | Self::FailsToStart(_)
            | Self::Health(_)
            | Self::Late(_)
            | Self::Address(_)
            | Self::Restarts(_)
            | Self::Vanishes(_)
            | Self::Preempted(_)
            | Self::Ends(_)
            | Self::Again(_) => true,
            Self::Poisoned(_) | Self::Cured | Self::Call | Self::Attend => false,
        }
    }
}

const STALL_TIME: Duration = Duration::from_secs(3);
