//! The metrics of connections and transactions. Names are as Prometheus has them; times are
//! in seconds.

use std::time::Instant;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use tracing::{Instrument as _, info_span};

use crate::error::EngineError;

/// Transactions that ended, by `outcome`.
const TRANSACTIONS: &str = "viridian_transactions_total";
/// How long transactions had their connection.
pub const TRANSACTION_DURATION: &str = "viridian_transaction_duration_seconds";
/// How long it took to get a connection, by `use`.
pub const CONNECTION_WAIT: &str = "viridian_database_wait_seconds";

/// Describes the metrics. Counters begin at 0, so that the first event is an increase.
pub fn describe() {
    describe_counter!(TRANSACTIONS, "Transactions that ended, by outcome.");
    describe_histogram!(
        TRANSACTION_DURATION,
        Unit::Seconds,
        "How long transactions had their connection."
    );
    describe_histogram!(
        CONNECTION_WAIT,
        Unit::Seconds,
        "How long it took to get a connection to the database."
    );
    for outcome in ["committed", "undone", "failed", "given_up"] {
        counter!(TRANSACTIONS, "outcome" => outcome).increment(0);
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectionUse {
    Read,
    Write,
}

/// Measures how long it takes to get a connection.
pub(crate) async fn measure_wait<T>(
    of: ConnectionUse,
    getting: impl Future<Output = Result<T, EngineError>>,
) -> Result<T, EngineError> {
    let begun = Instant::now();
    let got = getting.await;
    let of = match of {
        ConnectionUse::Read => "read",
        ConnectionUse::Write => "write",
    };
    histogram!(CONNECTION_WAIT, "use" => of).record(begun.elapsed());
    got
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, Default)]
pub enum TransactionEnd {
    /// It was committed.
    Committed,
    /// Its unit of work rolled it back.
    Undone,
    /// The database failed. It may have been committed all the same.
    Failed,
    /// Its caller went away.
    #[default]
    GivenUp,
}

impl TransactionEnd {
    /// Returns the intended end, unless the database failed.
    pub fn of<E>(result: &Result<(), E>, intended: Self) -> Self {
        match result {
            Ok(()) => intended,
            Err(_) => Self::Failed,
        }
    }
}

/// Runs a transaction in a span of its own, and measures it. The work says how it ended.
pub async fn measured<T>(work: impl AsyncFnOnce(&mut TransactionEnd) -> T) -> T {
    let mut measuring = Measuring {
        end: TransactionEnd::default(),
        since: Instant::now(),
    };
    work(&mut measuring.end)
        .instrument(info_span!("transaction"))
        .await
}

/// Records when it is dropped, since a cancelled transaction counts too.
struct Measuring {
    end: TransactionEnd,
    since: Instant,
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let outcome = match self.end {
            TransactionEnd::Committed => "committed",
            TransactionEnd::Undone => "undone",
            TransactionEnd::Failed => "failed",
            TransactionEnd::GivenUp => "given_up",
        };
        counter!(TRANSACTIONS, "outcome" => outcome).increment(1);
        histogram!(TRANSACTION_DURATION).record(self.since.elapsed());
    }
}
