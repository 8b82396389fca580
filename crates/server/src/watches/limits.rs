use std::time::Duration;

/// How much is kept for a consumer that is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// How many events are kept for a stream before it has to read them again.
    pub buffer: usize,
    /// How long a consumer may take nothing once there are more than that: then
    /// its stream is ended.
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
