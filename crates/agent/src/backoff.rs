use std::time::Duration;

/// How long to wait before the next attempt: 100 ms, then twice as long each
/// time, up to 5 s, less up to a half by chance.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { ceiling: FIRST }
    }

    /// The next delay. Each is drawn from a longer range than the one before.
    pub(crate) fn next_delay(&mut self) -> Duration {
        let delay = self.ceiling.mul_f64(rand::random_range(0.5..=1.0));
        self.ceiling = (self.ceiling * 2).min(LAST);
        delay
    }

    /// Starts over, after a success.
    pub(crate) fn reset(&mut self) {
        self.ceiling = FIRST;
    }
}

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_the_last_delay_and_starts_over() {
        let mut backoff = Backoff::new();
        for ceiling in [100, 200, 400, 800, 1600, 3200, 5000, 5000] {
            let ceiling = Duration::from_millis(ceiling);
            let delay = backoff.next_delay();
            assert!(delay >= ceiling / 2 && delay <= ceiling, "{delay:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }
}
