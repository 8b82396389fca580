//! A transaction and its connection, as they are told of.

use std::time::Instant;

use metrics::{counter, histogram};
use tracing::{Instrument as _, info_span};

use super::names::{CONNECTION_WAIT, TRANSACTION_DURATION, TRANSACTIONS};
use crate::error::StoreError;

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectionUse {
    Read,
    Write,
}

/// Measures how long it takes to get a connection.
pub(crate) async fn measure_wait<T>(
    of: ConnectionUse,
    getting: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
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
pub(crate) enum TransactionEnd {
    Committed,
    /// By its own unit of work.
    Undone,
    /// The database did not do it; whether it is committed is not always known.
    Failed,
    /// Its caller went away.
    #[default]
    GivenUp,
}

impl TransactionEnd {
    /// As it was to end, unless the database failed.
    pub(crate) fn of(result: &Result<(), StoreError>, well: Self) -> Self {
        match result {
            Ok(()) => well,
            Err(_) => Self::Failed,
        }
    }
}

/// Has a transaction happen in a span of its own, and measures it. The work says
/// how it ended.
pub(crate) async fn measured<T>(work: impl AsyncFnOnce(&mut TransactionEnd) -> T) -> T {
    let mut measuring = Measuring {
        ended: TransactionEnd::default(),
        since: Instant::now(),
    };
    work(&mut measuring.ended)
        .instrument(info_span!("transaction"))
        .await
}

struct Measuring {
    ended: TransactionEnd,
    since: Instant,
}

impl Drop for Measuring {
    fn drop(&mut self) {
        let outcome = match self.ended {
            TransactionEnd::Committed => "committed",
            TransactionEnd::Undone => "undone",
            TransactionEnd::Failed => "failed",
            TransactionEnd::GivenUp => "given_up",
        };
        counter!(TRANSACTIONS, "outcome" => outcome).increment(1);
        histogram!(TRANSACTION_DURATION).record(self.since.elapsed());
    }
}
