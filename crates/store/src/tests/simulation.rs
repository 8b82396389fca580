//! The coordinator and the store on a simulated clock, with replicas that start, fail, flap
//! and vanish, callers with random calls, rows that are damaged for a while, and servers that
//! restart. In half of the stores a health counts only for a while: checkers fall silent,
//! their reports come late, and a server that was away knows of none. In half of them the clock
//! is set back, and jumps forward. The clock jumps from one event to the next, on both engines.
//! Everything else is real.
//!
//! Each seed is one deployment, and many share a database: all that is due at an instant is
//! reconciled together. After each instant the invariants are checked, and that nothing due
//! was left. In the end all replicas become healthy; then every deployment must come to rest.
//!
//! `VIRIDIAN_SEEDS` is the number of seeds on each engine, and `VIRIDIAN_SEED` the first.
//! In a store where events are handled in order, a seed gives the same run again, also alone.

mod agenda;
mod callers;
mod coordinator;
mod coverage;
mod fleet;
#[path = "../../../strategy/tests/generators/mod.rs"]
mod generators;
mod life;
mod poison;
mod policies;
mod world;

use std::time::{Duration, Instant};

use rstest_reuse::apply;

use self::{
    coverage::SimulationCoverage,
    world::{SimulatedStore, SimulationMode},
};
use super::{
    chance::{count, tell},
    fixture::{Engine, engines},
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_to_rest_and_the_invariants_hold(#[case] engine: Engine) {
    let begun = Instant::now();
    let seeds = u64::from(count("VIRIDIAN_SEEDS", SEEDS));
    let first = u64::from(count("VIRIDIAN_SEED", 0));
    let mut coverage = SimulationCoverage::default();
    let mut next = first;
    while next < first + seeds {
        let world = next / SEEDS_PER_STORE;
        let mode = MODES[usize::try_from(world % 4).expect("small")];
        let end = ((world + 1) * SEEDS_PER_STORE).min(first + seeds);
        SimulatedStore::new(engine, mode, next..end, &mut coverage)
            .await
            .live()
            .await;
        next = end;
    }
    tell(&format!(
        "{engine:?}: {seeds} seeds from {first} in {:?}{coverage}",
        begun.elapsed()
    ));
    if seeds >= u64::from(SEEDS) {
        coverage.require(EXPECTED);
    }
}

/// The number of seeds on each engine by default.
const SEEDS: u32 = 500;

/// How many deployments share a database.
const SEEDS_PER_STORE: u64 = 125;

const MODES: [SimulationMode; 4] = [
    SimulationMode {
        together: false,
        loses: None,
        health_ttl: None,
        clock_steps: false,
    },
    SimulationMode {
        together: true,
        loses: None,
        health_ttl: None,
        clock_steps: true,
    },
    SimulationMode {
        together: false,
        loses: Some(3),
        health_ttl: HEALTH_TTL,
        clock_steps: true,
    },
    SimulationMode {
        together: true,
        loses: None,
        health_ttl: HEALTH_TTL,
        clock_steps: false,
    },
];

/// Shorter than some waits of the policies, and than some restarts.
const HEALTH_TTL: Option<Duration> = Some(Duration::from_secs(20));

const GROUP: &str = "g";

const EXPECTED: &[&str] = &[
    "restarts",
    "clocks set back",
    "clocks put forward",
    "calls refused",
    "calls repeated",
    "calls failed by poison",
    "cycles failed by poison",
    "reports refused",
    "reports outdated",
    "reports of another session",
    "reports too old",
    "healths that were silenced",
    "reports failed by poison",
    "shares in tables",
    "shares that are only a part",
    "shares that rose",
    "tables with a preview",
    "SHIFT by itself to DEPLOYING SHIFTING",
    "ADVANCE by a call to DEPLOYING SHIFTING",
    "EVALUATE by itself to DEPLOYING SHIFTING",
    "PAUSE by a call to DEPLOYING SHIFTING",
    "UPDATE by a call to DEPLOYING SHIFTING",
    "PROMOTE by a call to READY",
    "PROMOTE by itself to READY",
    "ROLL_BACK by itself to READY",
    "ROLL_BACK by itself to DEPLOYING ROLLING_BACK",
    "ROLL_BACK by a call to READY",
    "ROLL_BACK by a call to DEPLOYING PROVISIONING",
    "ABORT by a call to READY",
    "EVALUATE by itself to DEPLOYING AWAITING_PROMOTION",
    "EVALUATE by itself to DEPLOYING PROVISIONING",
    "EVALUATE by itself to DESTROYED",
];
