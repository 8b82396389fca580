//! A seeded generator: the same seed gives the same numbers on every machine.

use std::time::Duration;

/// A SplitMix64 generator.
pub(crate) struct Rng {
    state: u64,
    /// One wait in this many has microseconds. With None all are whole seconds.
    fraction_one_in: Option<u64>,
}

impl Rng {
    pub(crate) fn new(seed: u64, fraction_one_in: Option<u64>) -> Self {
        Self {
            state: mix(seed),
            fraction_one_in,
        }
    }

    pub(crate) fn between(&mut self, first: u64, last: u64) -> u64 {
        match (last - first).checked_add(1) {
            Some(count) => first + self.below(count),
            // Every number is in the range.
            None => self.next(),
        }
    }

    pub(crate) fn between_u32(&mut self, first: u32, last: u32) -> u32 {
        let number = self.between(first.into(), last.into());
        u32::try_from(number).expect("it is in a range of u32")
    }

    pub(crate) fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let index = self.below(from.len() as u64);
        from[usize::try_from(index).expect("an index")]
    }

    /// One of several values, each as often as its weight says.
    pub(crate) fn weighed<T: Copy>(&mut self, from: &[(u64, T)]) -> T {
        let mut left = self.below(from.iter().map(|(weight, _)| weight).sum());
        for &(weight, value) in from {
            if left < weight {
                return value;
            }
            left -= weight;
        }
        unreachable!("less than the sum of all weights")
    }

    /// Mostly whole seconds, so that several events fall on the same instant.
    pub(crate) fn wait(&mut self, first: u64, last: u64) -> Duration {
        let seconds = self.seconds(first, last);
        let fractional = self.fraction_one_in;
        if fractional.is_some_and(|many| self.one_in(many)) {
            seconds + Duration::from_micros(self.below(1_000_000))
        } else {
            seconds
        }
    }

    pub(crate) fn seconds(&mut self, first: u64, last: u64) -> Duration {
        Duration::from_secs(self.between(first, last))
    }

    /// A duration of a policy: zero in one of three.
    pub(crate) fn setting(&mut self, max: u64) -> Duration {
        if self.one_in(3) {
            Duration::ZERO
        } else {
            self.seconds(1, max)
        }
    }

    /// A number from zero up to, but without, `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
