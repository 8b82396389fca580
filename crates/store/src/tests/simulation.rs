//! The coordinator and the store in a simulated world: fleets that start, fail,
//! flap and vanish, callers who want anything at any time, rows that are damaged
//! for a while, and servers that are started anew. The clock jumps from one event
//! to the next, on both engines; everything else is real.
//!
//! Each seed is the life of one deployment, and many live in one database: what
//! is due together is looked at together. All along it is asked whether the
//! invariants hold, and whether anything that is due was left. In the end every
//! fleet is made well, and then every deployment must come to rest.
//!
//! `VIRIDIAN_SEEDS` says how many seeds there are on each engine, and
//! `VIRIDIAN_SEED` which is the first. Whoever lives in a world where all is done
//! in order lives the same life again, also alone.

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

use std::time::Instant;

use rstest_reuse::apply;

use self::{
    coverage::Coverage,
    world::{Manner, World},
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
    let mut coverage = Coverage::default();
    let mut next = first;
    while next < first + seeds {
        let world = next / IN_ONE_WORLD;
        let manner = MANNERS[usize::try_from(world % 4).expect("small")];
        let end = ((world + 1) * IN_ONE_WORLD).min(first + seeds);
        World::new(engine, manner, next..end, &mut coverage)
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

/// How many seeds each engine has if nobody asks for more.
const SEEDS: u32 = 500;

/// How many lives share a database.
const IN_ONE_WORLD: u64 = 125;

const MANNERS: [Manner; 4] = [
    Manner {
        together: false,
        loses: None,
    },
    Manner {
        together: true,
        loses: None,
    },
    Manner {
        together: false,
        loses: Some(3),
    },
    Manner {
        together: true,
        loses: None,
    },
];

const GROUP: &str = "g";

const EXPECTED: &[&str] = &[
    "restarts",
    "calls refused",
    "calls repeated",
    "calls failed by poison",
    "cycles failed by poison",
    "reports refused",
    "reports failed by poison",
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
