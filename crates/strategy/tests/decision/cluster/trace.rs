//! What happened in a run, told when it fails.

use std::fmt::Write;

use viridian_strategy::{Route, Timestamp, Transition};

use super::{callers::Call, fleet::Happening, legal::Place};

/// All that happened in one run. It is printed when the run panics.
pub(crate) struct Trace {
    seed: u64,
    entries: Vec<(Timestamp, Entry)>,
}

/// One line of it.
pub(crate) enum Entry {
    Happened(Happening),
    /// What a report made of a route.
    Route(Route),
    Called(Call, bool),
    Decided(Box<Transition>),
    /// From here on the fleet is made well.
    Ending,
}

impl Trace {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            entries: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, at: Timestamp, entry: Entry) {
        self.entries.push((at, entry));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    #[expect(clippy::print_stdout, reason = "a failed run is to be run again")]
    fn print(&self) {
        let mut told = String::new();
        for (at, entry) in &self.entries {
            let seconds = at.as_micros() as f64 / 1e6;
            writeln!(told, "{seconds:>12} {entry}").expect("a string takes all");
        }
        let seed = self.seed;
        println!("{told}run it alone with VIRIDIAN_SEED={seed} VIRIDIAN_RUNS=1");
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print();
        }
    }
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Happened(happening) => write!(f, "{happening:?}"),
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
            Self::Ending => f.write_str("the fleet is made well"),
        }
    }
}

fn decided(transition: &Transition, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    let Transition {
        kind,
        state,
        changes,
        cause,
    } = transition;
    write!(f, "  -> {:?} by {kind:?}", Place::of(state))?;
    for new in &changes.rollout {
        let (count, traffic) = (new.count, new.traffic);
        let revision = new.revision.0.as_u128();
        write!(f, ", create {count} of {revision} {traffic:?}")?;
    }
    let lists = [
        ("promote", &changes.promote),
        ("retain", &changes.retain),
        ("drain", &changes.drain),
    ];
    for (verb, ids) in lists.into_iter().filter(|(_, ids)| !ids.is_empty()) {
        let ids: Vec<u128> = ids.iter().map(|id| id.0.as_u128()).collect();
        write!(f, ", {verb} {ids:?}")?;
    }
    match cause {
        Some(cause) => write!(f, " ({cause})"),
        None => Ok(()),
    }
}
