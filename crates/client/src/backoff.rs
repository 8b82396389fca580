use std::time::Duration;

/// Exponential back-off with jitter.
///
/// Each delay is drawn evenly from the upper half of a range that doubles with
/// every attempt up to a maximum: with the defaults from 50 to 100 ms, then 100
/// to 200 ms, and at last 2.5 to 5 s.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(INITIAL_BACKOFF, MAX_BACKOFF)
    }
}

impl Backoff {
    /// Begins at `initial` and never exceeds `max`. A `max` below `initial`
    /// counts as `initial`.
    pub fn new(initial: Duration, max: Duration) -> Self {
        Self {
            initial,
            max: max.max(initial),
            ceiling: initial,
        }
    }

    /// Returns the delay before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        // Without jitter all clients of a server that restarts come back at the
        // same moment, and again at each of the following ones.
        let delay = self.ceiling.mul_f64(rand::random_range(0.5..=1.0));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        delay
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.ceiling = self.initial;
    }
}

const INITIAL_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn delays_double_to_the_maximum_and_start_over() {
        let mut backoff = Backoff::default();
        for ceiling in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let ceiling = Duration::from_millis(ceiling);
            let delay = backoff.next_delay();
            assert!(delay >= ceiling / 2 && delay <= ceiling, "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= INITIAL_BACKOFF);
    }

    #[test]
    fn delays_are_spread_over_the_upper_half_of_the_range() {
        let second = Duration::from_secs(1);
        let delays: Vec<_> = (0..1000)
            .map(|_| Backoff::new(second, second).next_delay())
            .collect();
        // The chance that none of 1000 falls into one tenth of the range is 0.9^1000.
        for tenth in 10..20 {
            let range = second * tenth / 20..second * (tenth + 1) / 20;
            assert!(delays.iter().any(|it| range.contains(it)), "{range:?}");
        }
        assert!(delays.iter().all(|it| *it >= second / 2 && *it <= second));
        assert!(delays.iter().collect::<HashSet<_>>().len() > 900);
    }

    #[test]
    fn a_maximum_below_the_first_delay_is_the_first_delay() {
        let mut backoff = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
        for _ in 0..3 {
            let delay = backoff.next_delay();
            assert!(delay >= Duration::from_secs(1) && delay <= Duration::from_secs(2));
        }
    }

    #[test]
    fn no_number_of_attempts_overflows() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::MAX / 4);
        for _ in 0..200 {
            backoff.next_delay();
        }
        assert_eq!(backoff.ceiling, Duration::MAX / 4);
    }
}
