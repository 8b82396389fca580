//! Notices that the clock which decides was set back.

use std::sync::{Mutex, PoisonError};

use viridian_strategy::Timestamp;

/// The latest time that this process has read, to notice a clock that was set back.
///
/// On SQLite that happens while no server runs: the process's clock never goes back. On
/// PostgreSQL it may happen at any time.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch {
    /// None until the first time was read: it may have been set back before.
    latest: Mutex<Option<Timestamp>>,
}

impl ClockWatch {
    /// Whether the clock may have been set back since the latest time.
    pub(crate) fn may_be_back(&self, now: Timestamp) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.is_none_or(|latest| now < latest)
    }

    pub(crate) fn record(&self, now: Timestamp) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_back_at_first_and_whenever_it_is() {
        let at = Timestamp::from_micros;
        let watch = ClockWatch::default();
        assert!(watch.may_be_back(at(5)), "nothing is known yet");
        watch.record(at(5));
        assert!(!watch.may_be_back(at(5)));
        assert!(!watch.may_be_back(at(6)));
        assert!(watch.may_be_back(at(4)));
        watch.record(at(4));
        assert!(!watch.may_be_back(at(4)), "it goes on from there");
    }
}
