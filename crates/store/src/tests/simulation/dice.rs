//! Chance, by a seed.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

pub(super) struct Dice(StdRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(super) fn between(&mut self, first: u64, last: u64) -> u64 {
        self.0.random_range(first..=last)
    }

    pub(super) fn one_in(&mut self, many: u32) -> bool {
        self.0.random_ratio(1, many)
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.random_range(0..from.len())]
    }

    /// One of several, as often as its weight says.
    pub(super) fn weighed<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut left = self.between(1, from.iter().map(|(weight, _)| weight).sum());
        for &(weight, value) in from {
            if left <= weight {
                return value;
            }
            left -= weight;
        }
        unreachable!("no more than all weights together")
    }

    /// Whole seconds, so that much falls on one instant.
    pub(super) fn wait(&mut self, first: u64, last: u64) -> Duration {
        Duration::from_secs(self.between(first, last))
    }

    /// A duration of a policy: often zero.
    pub(super) fn setting(&mut self, longest: u64) -> Duration {
        if self.one_in(3) {
            Duration::ZERO
        } else {
            self.wait(1, longest)
        }
    }
}
