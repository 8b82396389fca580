//! A simulated cluster, on a clock that jumps from one event to the next.
//!
//! Routes come up after a while, fail to start, hang, flap between all healths,
//! vanish, are preempted, and are slow to stop; callers activate, promote,
//! abort, roll back, scale, change the policy, pause, resume and delete; the
//! coordinator looks when an evaluation asked for it or something happened, and
//! is late at times. Every change and every evaluation is checked against the
//! design's invariants, and at the end of a run the fleet is made well: then the
//! deployment must come to rest.
//!
//! A run depends on its seed alone. `VIRIDIAN_SEED` is the seed of the first
//! run, and `VIRIDIAN_RUNS` says how many there are; a run that fails prints its
//! seed and all that happened in it.

mod callers;
mod checks;
mod clocks;
mod coverage;
mod fleet;
mod legal;
mod policies;
mod run;
mod stack;
mod trace;
mod waits;

use self::{coverage::RunCoverage, run::SimulatedRun};
use crate::generators::policies::StrategyKind;

#[test]
fn a_cluster_with_blue_green() {
    simulate(
        StrategyKind::BlueGreen,
        &[
            ("promotion", "by hand"),
            ("promotion", "GatesOpen"),
            ("promotion", "GateTimedOut"),
            ("roll-back", "AllFailed"),
            ("roll-back", "DeadlinePassed"),
            ("roll-back", "GateTimedOut"),
            ("roll-back", "abort"),
            ("roll-back", "instant"),
            ("promotion", "CameBack"),
            ("way back", "with kept routes"),
            ("way back", "gated"),
            ("way back", "by the stack"),
            ("way back", "refused: went back"),
            ("gate", "closed again"),
            ("retained", "ended"),
            ("pause", "AWAITING_PROMOTION"),
            ("update", "AWAITING_PROMOTION"),
        ],
    );
}

#[test]
fn a_cluster_with_rolling() {
    simulate(
        StrategyKind::Rolling,
        &[
            ("promotion", "Replaced"),
            ("turned back", "AllFailed"),
            ("turned back", "DeadlinePassed"),
            ("roll-back", "Returned"),
            ("pause", "ROLLING_BACK"),
            ("update", "ROLLING_BACK"),
        ],
    );
}

#[test]
fn a_cluster_with_canary() {
    simulate(
        StrategyKind::Canary,
        &[
            ("shift", "Shifted"),
            ("promotion", "by hand"),
            ("promotion", "GatesOpen"),
            ("promotion", "GateTimedOut"),
            ("promotion", "CameBack"),
            ("roll-back", "AllFailed"),
            ("roll-back", "DeadlinePassed"),
            ("roll-back", "GateTimedOut"),
            ("roll-back", "abort"),
            ("roll-back", "instant"),
            ("way back", "gated"),
            ("advance", "SHIFTING"),
            ("pause", "SHIFTING"),
            ("update", "SHIFTING"),
            ("step", "left by a flap"),
        ],
    );
}

fn simulate(kind: StrategyKind, expected: &[(&'static str, &'static str)]) {
    let runs = number("VIRIDIAN_RUNS").unwrap_or(RUNS);
    let first = number("VIRIDIAN_SEED").unwrap_or(0);
    let mut coverage = RunCoverage::default();
    let mut steps = 0;
    for seed in (first..).take(usize::try_from(runs).expect("a number of runs")) {
        steps += SimulatedRun::new(seed, kind, &mut coverage).live();
    }
    tell(&format!("{kind:?}: {runs} runs, {steps} steps{coverage}"));
    if runs >= RUNS {
        coverage.require(expected.iter().chain(EXPECTED));
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture")]
fn tell(figures: &str) {
    println!("{figures}");
}

/// The number of runs of each strategy by default.
const RUNS: u64 = 10_000;

/// What runs of both strategies come across.
const EXPECTED: &[(&str, &str)] = &[
    ("first", "CameUp"),
    ("first", "NeverCameUp"),
    ("superseded", "call"),
    ("over PENDING", "by the strategy"),
    ("over PENDING", "directly"),
    ("at N = 0", "directly"),
    ("promotion", "without replicas"),
    ("roll-back", "to PENDING"),
    ("aborted", "abort"),
    ("pause", "PROVISIONING"),
    ("resume", "PROVISIONING"),
    ("update", "PROVISIONING"),
    ("back-off", ""),
    ("replaced", ""),
    ("late", ""),
    ("clock", "set back"),
    ("exchange", "restart"),
    ("exchange", "drain"),
    ("exchange", "hangs"),
    ("end", "DESTROYED"),
];
