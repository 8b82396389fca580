//! How much of a database is used at once, and how long anything is waited for.

use std::{fmt, time::Duration};

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

/// A limit that cannot work. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// Its name on the command line: `lock-timeout` and so on.
    pub name: &'static str,
    bounds: LimitBounds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LimitBounds {
    Count,
    Time { least: Duration, most: Duration },
    BelowStatement,
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
        for (name, count) in [("connections", self.connections), ("readers", self.readers)] {
            if !(1..=MAX_CONNECTIONS).contains(&count) {
                let bounds = LimitBounds::Count;
                return Err(LimitError { name, bounds });
            }
        }
        for (name, time, least, most) in [
            ("acquire-timeout", self.acquire_timeout, MIN_TIMEOUT, MINUTE),
            ("lock-timeout", self.lock_timeout, MIN_TIMEOUT, MINUTE),
            ("statement-timeout", self.statement_timeout, SECOND, HOUR),
            ("idle-timeout", self.idle_timeout, SECOND, HOUR),
            ("busy-timeout", self.busy_timeout, MIN_TIMEOUT, MINUTE),
        ] {
            if !(least..=most).contains(&time) {
                let bounds = LimitBounds::Time { least, most };
                return Err(LimitError { name, bounds });
            }
        }
        // Otherwise the statement timeout would end every wait for a lock first.
        if self.lock_timeout >= self.statement_timeout {
            let (name, bounds) = ("lock-timeout", LimitBounds::BelowStatement);
            return Err(LimitError { name, bounds });
        }
        Ok(())
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bounds {
            LimitBounds::Count => write!(f, "it is 1 to {MAX_CONNECTIONS}"),
            LimitBounds::Time { least, most } => {
                write!(f, "it is {least:?} to {}s", most.as_secs())
            }
            LimitBounds::BelowStatement => f.write_str("it is less than the statement timeout"),
        }
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
                "connections: it is 1 to 1000",
            ),
            (
                Limits {
                    readers: 1_001,
                    ..limits
                },
                "readers: it is 1 to 1000",
            ),
            (
                Limits {
                    acquire_timeout: Duration::ZERO,
                    ..limits
                },
                "acquire-timeout: it is 10ms to 60s",
            ),
            (
                Limits {
                    idle_timeout: Duration::from_millis(999),
                    ..limits
                },
                "idle-timeout: it is 1s to 3600s",
            ),
            (
                Limits {
                    lock_timeout: Duration::from_secs(5),
                    statement_timeout: Duration::from_secs(5),
                    ..limits
                },
                "lock-timeout: it is less than the statement timeout",
            ),
        ] {
            let error = limits.check().expect_err(sentence);
            assert_eq!(format!("{}: {error}", error.name), sentence);
        }
    }
}
