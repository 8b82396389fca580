use std::time::Duration;

/// How much is kept for a slow consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// Events kept for a watch. Past them it has to read the log again.
    pub buffer: usize,
    /// How long a consumer may take nothing once its buffer is full. Then its watch
    /// fails.
    pub patience: Duration,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self {
            buffer: 256,
            patience: Duration::from_secs(10),
        }
    }
}
