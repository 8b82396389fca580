//! How much of a database is used at once, and for how long anything is waited
//! for.

use std::{fmt, time::Duration};

/// What a server takes of its database, and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections to PostgreSQL, each of which does one unit of work at a time.
    pub connections: u32,
    /// Connections that read a SQLite file; one more writes.
    pub readers: u32,
    /// How long a call waits for a connection, or for its turn to write on
    /// SQLite: past it [`StoreError::PoolTimeout`](crate::StoreError::PoolTimeout).
    pub acquire_timeout: Duration,
    /// How long a call waits for a deployment that another one holds, on
    /// PostgreSQL: past it [`StoreError::LockTimeout`](crate::StoreError::LockTimeout).
    pub lock_timeout: Duration,
    /// How long one statement may take on PostgreSQL: past it
    /// [`StoreError::TimedOut`](crate::StoreError::TimedOut). PostgreSQL sees to it.
    /// One that does not answer in twice that time is not waited for any longer:
    /// [`StoreError::Unavailable`](crate::StoreError::Unavailable).
    pub statement_timeout: Duration,
    /// How long PostgreSQL lets a transaction stand in which nothing happens. A
    /// process that is stopped in the middle of one holds its locks for so long.
    pub idle_timeout: Duration,
    /// How long SQLite waits for a lock that another program has on the file.
    pub busy_timeout: Duration,
}

/// A limit that cannot work. Displays as a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// Which, as it is called on the command line: `lock-timeout` and so on.
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
    /// How long PostgreSQL is waited for when it was sent something: all that goes
    /// in one round trip. It ends each statement by its timeout, unless it has failed.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.statement_timeout * 2
    }

    /// Whether every limit can work.
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
        // Or a statement that waits for a lock is never told that it is held.
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
