//! Chance: the same seed gives the same throws, on every machine.

use std::time::Duration;

/// A SplitMix64 generator.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// A number from zero up to, but without, `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.throw() % end
    }

    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).expect("an index")]
    }

    /// One of several, as often as its weight says.
    pub(crate) fn weighed<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut left = self.below(from.iter().map(|(weight, _)| weight).sum());
        for &(weight, value) in from {
            if left < weight {
                return value;
            }
            left -= weight;
        }
        unreachable!("less than all weights together")
    }

    /// Mostly whole seconds, so that things fall on the same instant at times.
    pub(crate) fn wait(&mut self, first: u64, last: u64) -> Duration {
        let seconds = Duration::from_secs(self.between(first, last));
        if self.one_in(4) {
            seconds + Duration::from_micros(self.below(1_000_000))
        } else {
            seconds
        }
    }

    /// A duration of a policy: often zero.
    pub(crate) fn setting(&mut self, longest: u64) -> Duration {
        if self.one_in(3) {
            Duration::ZERO
        } else {
            Duration::from_secs(self.between(1, longest))
        }
    }

    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
