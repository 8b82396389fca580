//! The flags of `viridian serve` for the database: connections and timeouts.

use std::time::Duration;

use clap::Args;
use viridian_server::Limits;

use crate::duration;

/// The flags of `viridian serve` for the database.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Database")]
pub(crate) struct DatabaseArgs {
    /// Connections to PostgreSQL.
    ///
    /// Each runs one transaction at a time. Raise it when calls fail with
    /// RESOURCE_EXHAUSTED while PostgreSQL is not busy. `max_connections` of
    /// PostgreSQL must cover all servers.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE_CONNECTIONS",
        value_name = "COUNT",
        default_value_t = 16
    )]
    database_connections: u32,
    /// Connections that read a SQLite file. One more connection writes.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE_READERS",
        value_name = "COUNT",
        default_value_t = 4
    )]
    database_readers: u32,
    /// How long a call waits for a connection, or for the writer of a SQLite file.
    ///
    /// The call then fails with RESOURCE_EXHAUSTED, and its caller may try again.
    #[arg(long, env = "VIRIDIAN_DATABASE_ACQUIRE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "5s")]
    database_acquire_timeout: Duration,
    /// How long a call waits for a deployment that another call has locked
    /// (PostgreSQL only).
    ///
    /// The call then fails with ABORTED, and its caller may try again.
    #[arg(long, env = "VIRIDIAN_DATABASE_LOCK_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "2s")]
    database_lock_timeout: Duration,
    /// How long one SQL statement may run (PostgreSQL only).
    #[arg(long, env = "VIRIDIAN_DATABASE_STATEMENT_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    database_statement_timeout: Duration,
    /// How long an open transaction may be idle (PostgreSQL only).
    ///
    /// If a server is stopped in the middle of a transaction, its deployments stay
    /// locked for this time. PostgreSQL then rolls the transaction back.
    #[arg(long, env = "VIRIDIAN_DATABASE_IDLE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    database_idle_timeout: Duration,
    /// How long a statement waits for another program that has the SQLite file
    /// locked.
    #[arg(long, env = "VIRIDIAN_DATABASE_BUSY_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "5s")]
    database_busy_timeout: Duration,
}

impl From<DatabaseArgs> for Limits {
    fn from(args: DatabaseArgs) -> Self {
        Self {
            connections: args.database_connections,
            readers: args.database_readers,
            acquire_timeout: args.database_acquire_timeout,
            lock_timeout: args.database_lock_timeout,
            statement_timeout: args.database_statement_timeout,
            idle_timeout: args.database_idle_timeout,
            busy_timeout: args.database_busy_timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        database: DatabaseArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        let flags = Flags::try_parse_from(["serve"]).expect("no flag is needed");
        assert_eq!(Limits::from(flags.database), Limits::default());
    }
}
