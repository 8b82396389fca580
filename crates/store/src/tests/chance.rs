//! What tests do at random, they do by a seed of their own; how often, the
//! environment may say.

use std::{env, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::fixture::Engine;

/// How often to do something: the number in a variable of the environment, or
/// the usual one, which takes seconds.
pub(super) fn count(variable: &str, usual: u32) -> u32 {
    match env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| {
            panic!("{variable} is {text:?}, and not a number of times");
        }),
        Err(env::VarError::NotPresent) => usual,
        Err(error) => panic!("{variable}: {error}"),
    }
}

/// The same chance at each run.
pub(super) fn chance(engine: Engine, seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed << 1 | u64::from(matches!(engine, Engine::Postgres)))
}

/// A time up to a longest, the short ones more often.
pub(super) fn short(chance: &mut StdRng, longest: Duration) -> Duration {
    longest.mul_f64(chance.random_range(0.0..1.0_f64).powi(2))
}

/// Shown by `cargo test -- --nocapture`.
#[expect(clippy::print_stdout, reason = "the figures of a test that passes")]
pub(super) fn tell(what: &str) {
    println!("{what}");
}
