use std::time::Duration;

use viridian_store::{LimitError, Store};

/// How the coordinator works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoordinatorLimits {
    /// How many workers take batches side by side when one batch is not enough. None: one on
    /// SQLite, which has one writer, and two on PostgreSQL, so that one reads while the
    /// other commits.
    pub workers: Option<u32>,
    /// How many deployments are in a batch. Calls wait for the batch that their deployment
    /// is in.
    pub batch: u32,
    /// How often to look for due deployments without a notification.
    pub poll: Duration,
    /// How long a deployment is set aside after its cycle failed. Doubles with each failure.
    pub set_aside: Duration,
    /// The longest time that a deployment is set aside.
    pub set_aside_longest: Duration,
}

impl Default for CoordinatorLimits {
    fn default() -> Self {
        Self {
            workers: None,
            batch: 200,
            poll: Duration::from_secs(1),
            set_aside: Duration::from_secs(10),
            set_aside_longest: Duration::from_secs(5 * 60),
        }
    }
}

impl CoordinatorLimits {
    pub(super) fn workers_on(&self, database: &Store) -> u32 {
        let usual = if database.has_one_writer() { 1 } else { 2 };
        self.workers.unwrap_or(usual)
    }

    /// Gives the first setting that is out of its bounds.
    pub(crate) fn check(&self) -> Result<(), LimitError> {
        LimitError::check_count("coordinator-workers", self.workers.unwrap_or(1), 1..=64)?;
        LimitError::check_count("coordinator-batch", self.batch, 1..=5_000)?;
        LimitError::check_duration("coordinator-poll", self.poll, MIN_DELAY..=MINUTE)?;
        let longest = self.set_aside_longest;
        LimitError::check_duration("coordinator-set-aside", self.set_aside, MIN_DELAY..=longest)?;
        LimitError::check_duration("coordinator-set-aside-longest", longest, MIN_DELAY..=HOUR)
    }
}

const MIN_DELAY: Duration = Duration::from_millis(10);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_work() {
        assert_eq!(CoordinatorLimits::default().check(), Ok(()));
    }

    #[test]
    fn one_that_cannot_is_named_with_its_bounds() {
        let nobody = CoordinatorLimits {
            workers: Some(0),
            ..CoordinatorLimits::default()
        };
        let error = nobody.check().expect_err("nothing would be done");
        assert_eq!(error.flag, "coordinator-workers");
        assert_eq!(error.to_string(), "must be 1 to 64");
        let shrinking = CoordinatorLimits {
            set_aside: MINUTE,
            set_aside_longest: Duration::from_secs(30),
            ..CoordinatorLimits::default()
        };
        let error = shrinking.check().expect_err("it is beyond the longest");
        assert_eq!(error.flag, "coordinator-set-aside");
        assert_eq!(error.to_string(), "must be 10ms to 30s");
    }
}
