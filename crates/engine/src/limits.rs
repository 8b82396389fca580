//! How much of a database is used at once, and how long anything is waited for.

use std::time::Duration;

use crate::LimitError;

/// How many connections a server uses, and how long it waits for its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections to PostgreSQL. Each runs one unit of work at a time.
    pub connections: u32,
    /// Connections that read a SQLite file. One more writes.
    pub readers: u32,
    /// How long a call waits for a connection, or on SQLite for the writer. After that it
    /// gets [`EngineError::PoolTimeout`](crate::EngineError::PoolTimeout).
    pub acquire_timeout: Duration,
    /// How long a call waits for a lock that another transaction holds, on PostgreSQL. After
    /// that it gets [`EngineError::LockTimeout`](crate::EngineError::LockTimeout).
    pub lock_timeout: Duration,
    /// How long one statement may take on PostgreSQL. After that it fails with
    /// [`EngineError::TimedOut`](crate::EngineError::TimedOut). A server that
    /// does not answer in twice that time counts as gone:
    /// [`EngineError::Unavailable`](crate::EngineError::Unavailable).
    pub statement_timeout: Duration,
    /// How long PostgreSQL keeps a transaction in which nothing happens. A process that is
    /// stopped in the middle of one holds its locks until then.
    pub idle_timeout: Duration,
    /// How long a call waits for another program that has locked a SQLite file.
    pub busy_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 16,
            readers: 4,
            acquire_timeout: Duration::from_secs(5),
            lock_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(10),
            busy_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// Returns how long one round trip to PostgreSQL may take. A server that works ends each
    /// statement by its timeout, so a longer wait means that it does not.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.statement_timeout * 2
    }

    /// Checks that every limit can work.
    ///
    /// # Errors
    ///
    /// The first one that cannot.
    pub fn check(&self) -> Result<(), LimitError> {
        for (flag, count) in [
            ("database-connections", self.connections),
            ("database-readers", self.readers),
        ] {
            LimitError::check_count(flag, count, 1..=MAX_CONNECTIONS)?;
        }
        for (flag, time, bounds) in [
            (
                "database-acquire-timeout",
                self.acquire_timeout,
                MIN_TIMEOUT..=MINUTE,
            ),
            (
                "database-lock-timeout",
                self.lock_timeout,
                MIN_TIMEOUT..=MINUTE,
            ),
            (
                "database-statement-timeout",
                self.statement_timeout,
                SECOND..=HOUR,
            ),
            ("database-idle-timeout", self.idle_timeout, SECOND..=HOUR),
            (
                "database-busy-timeout",
                self.busy_timeout,
                MIN_TIMEOUT..=MINUTE,
            ),
        ] {
            LimitError::check_duration(flag, time, bounds)?;
        }
        // Otherwise the statement timeout would end every wait for a lock first.
        if self.lock_timeout >= self.statement_timeout {
            let bounds = "less than --database-statement-timeout";
            return Err(LimitError::new("database-lock-timeout", bounds));
        }
        Ok(())
    }
}

const MAX_CONNECTIONS: u32 = 1_000;
const MIN_TIMEOUT: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_can_work() {
        assert_eq!(Limits::default().check(), Ok(()));
    }

    #[test]
    fn what_cannot_work_is_named() {
        let limits = Limits::default();
        for (limits, sentence) in [
            (
                Limits {
                    connections: 0,
                    ..limits
                },
                "database-connections: must be 1 to 1000",
            ),
            (
                Limits {
                    readers: 1_001,
                    ..limits
                },
                "database-readers: must be 1 to 1000",
            ),
            (
                Limits {
                    acquire_timeout: Duration::ZERO,
                    ..limits
                },
                "database-acquire-timeout: must be 10ms to 1m",
            ),
            (
                Limits {
                    idle_timeout: Duration::from_millis(999),
                    ..limits
                },
                "database-idle-timeout: must be 1s to 1h",
            ),
            (
                Limits {
                    lock_timeout: Duration::from_secs(5),
                    statement_timeout: Duration::from_secs(5),
                    ..limits
                },
                "database-lock-timeout: must be less than --database-statement-timeout",
            ),
        ] {
            let error = limits.check().expect_err(sentence);
            assert_eq!(format!("{}: {error}", error.flag), sentence);
        }
    }
}
