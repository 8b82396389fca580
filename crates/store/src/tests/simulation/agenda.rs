//! What is to happen to one deployment, and when.

use std::{collections::BTreeMap, time::Duration};

use viridian_strategy::{RouteId, Timestamp};

use super::{fleet::Report, poison::Poison};

/// What is to happen, the earliest first.
#[derive(Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Timestamp, u64), Happening>,
    count: u64,
    /// Nothing of the fleet is taken until then, so that nothing overtakes.
    stalled_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
pub(super) enum Happening {
    Starts(RouteId),
    FailsToStart(RouteId),
    /// Its health is checked.
    Health(RouteId),
    /// It ends without having been drained.
    Vanishes(RouteId),
    /// The scheduler stops it by itself.
    Preempted(RouteId),
    Ends(RouteId),
    /// A report that could not be taken is made once more.
    Again(Report),
    /// Its rows are damaged.
    Poisoned(Poison),
    /// They are mended.
    Cured,
    /// Someone calls.
    Call,
    /// From now on the fleet is well, and someone cares that all ends well.
    Attend,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Timestamp, happening: Happening) {
        self.count += 1;
        self.entries.insert((at, self.count), happening);
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.entries.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes what is to happen by now.
    pub(super) fn take(&mut self, now: Timestamp) -> Option<Happening> {
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

    /// Has a report made once more, before anything else is.
    pub(super) fn stall(&mut self, now: Timestamp, report: Report) {
        let until = now + PAUSE;
        self.stalled_until = Some(until);
        self.add(until, Happening::Again(report));
    }

    /// Forgets what would become of the fleet, but for what it has yet to say.
    pub(super) fn forget_fates(&mut self) {
        self.entries
            .retain(|_, it| !it.is_of_fleet() || matches!(it, Happening::Again(_)));
    }
}

impl Happening {
    fn is_of_fleet(&self) -> bool {
        match self {
            Self::Starts(_)
            | Self::FailsToStart(_)
            | Self::Health(_)
            | Self::Vanishes(_)
            | Self::Preempted(_)
            | Self::Ends(_)
            | Self::Again(_) => true,
            Self::Poisoned(_) | Self::Cured | Self::Call | Self::Attend => false,
        }
    }
}

const PAUSE: Duration = Duration::from_secs(3);
