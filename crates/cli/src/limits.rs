//! How much of its database the server uses at once, and how long it waits.

use std::time::Duration;

use clap::Args;
use viridian_server::Limits;

use crate::duration;

/// The flags of `viridian serve` about it.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LimitArgs {
    /// Connections to PostgreSQL. Each does one unit of work at a time.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE_CONNECTIONS",
        value_name = "COUNT",
        default_value_t = 16
    )]
    database_connections: u32,
    /// Connections that read a SQLite file. One more writes.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE_READERS",
        value_name = "COUNT",
        default_value_t = 4
    )]
    database_readers: u32,
    /// How long a call waits for a connection, or for its turn to write on
    /// SQLite, until it is told RESOURCE_EXHAUSTED.
    #[arg(long, env = "VIRIDIAN_DATABASE_ACQUIRE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "5s")]
    database_acquire_timeout: Duration,
    /// How long a call waits for a deployment that another one holds, until it is
    /// told ABORTED. PostgreSQL only.
    #[arg(long, env = "VIRIDIAN_DATABASE_LOCK_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "2s")]
    database_lock_timeout: Duration,
    /// How long one statement may take. PostgreSQL only.
    #[arg(long, env = "VIRIDIAN_DATABASE_STATEMENT_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    database_statement_timeout: Duration,
    /// How long a transaction may stand still: a server that is stopped in the
    /// middle of one holds its deployments for so long. PostgreSQL only.
    #[arg(long, env = "VIRIDIAN_DATABASE_IDLE_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "10s")]
    database_idle_timeout: Duration,
    /// How long a statement waits for a lock that another program has on a SQLite
    /// file.
    #[arg(long, env = "VIRIDIAN_DATABASE_BUSY_TIMEOUT", value_name = "DURATION", value_parser = duration::parse, default_value = "5s")]
    database_busy_timeout: Duration,
}

impl From<LimitArgs> for Limits {
    fn from(args: LimitArgs) -> Self {
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
        limits: LimitArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_store() {
        let flags = Flags::try_parse_from(["serve"]).expect("no flag is needed");
        assert_eq!(Limits::from(flags.limits), Limits::default());
    }
}
