//! What happened in a run, printed when it fails.

use std::{fmt::Write, time::Duration};

use viridian_strategy::{ObservedRoute, Timestamp, Transition};

use super::{callers::RandomCall, fleet::FleetEvent, legal::FlatPhase};

/// All that happened in one run. It is printed when the run panics.
pub(crate) struct RunTrace {
    seed: u64,
    entries: Vec<(Timestamp, TraceEntry)>,
}

/// One line of it.
pub(crate) enum TraceEntry {
    Happened(FleetEvent),
    /// What a report made of a route.
    Route(ObservedRoute),
    Called(RandomCall, bool),
    Decided(Box<Transition>),
    /// The clock was set back, and so much of what had passed is not known.
    ClockSetBack(Duration),
    /// From here on the fleet is made well.
    Ending,
}

impl RunTrace {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            entries: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, at: Timestamp, entry: TraceEntry) {
        self.entries.push((at, entry));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[expect(clippy::print_stdout, reason = "a failed run is to be run again")]
    fn print(&self) {
        let mut lines = String::new();
        for (at, entry) in &self.entries {
            let seconds = at.as_micros() as f64 / 1e6;
            writeln!(lines, "{seconds:>12} {entry}").expect("a string takes all");
        }
        let seed = self.seed;
        println!("{lines}run it alone with VIRIDIAN_SEED={seed} VIRIDIAN_RUNS=1");
    }
}

impl Drop for RunTrace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print();
        }
    }
}

impl std::fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Happened(event) => write!(f, "{event:?}"),
            Self::Route(route) => write!(
                f,
                "  route {} is {:?} {:?}",
                route.id.0.as_u128(),
                route.status,
                route.health
            ),
            Self::Called(call, true) => write!(f, "call {call:?}"),
            Self::Called(call, false) => write!(f, "call {call:?}, refused"),
            Self::Decided(transition) => decided(transition, f),
            Self::ClockSetBack(lost) => write!(f, "the clock is set back: {lost:?} are lost"),
            Self::Ending => f.write_str("the fleet is made well"),
        }
    }
}

fn decided(transition: &Transition, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let Transition {
        kind,
        deployment,
        actions,
        reason,
        ..
    } = transition;
    write!(f, "  -> {:?} by {kind:?}", FlatPhase::of(&deployment.state))?;
    for new in &actions.create {
        let (count, traffic) = (new.count, new.traffic);
        let revision = new.revision.0.as_u128();
        write!(f, ", create {count} of {revision} {traffic:?}")?;
    }
    let lists = [
        ("promote", &actions.promote),
        ("retain", &actions.retain),
        ("reuse", &actions.reuse),
        ("drain", &actions.drain),
    ];
    for (verb, ids) in lists.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        let ids: Vec<u128> = ids.iter().map(|id| id.0.as_u128()).collect();
        write!(f, ", {verb} {ids:?}")?;
    }
    match reason {
        Some(reason) => write!(f, " ({reason})"),
        None => Ok(()),
    }
}
