//! The state that all services share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use viridian_feeds::Feeds;
use viridian_store::Store;

use crate::{fair_share::FairShare, secrets::SecretFolder, token::TokenSeal};

/// The state that all services share. Cheap to clone. Services use it through what a caller
/// may see: [`Scope`](crate::scope::Scope).
#[derive(Clone)]
pub(crate) struct ServerState(Arc<ServerStateInner>);

struct ServerStateInner {
    database: Store,
    feeds: Feeds,
    seal: TokenSeal,
    secrets: SecretFolder,
    /// Connections to read with, by the name of the caller.
    readers: FairShare<String>,
    stop: CancellationToken,
}

impl ServerState {
    pub(crate) fn new(
        database: Store,
        feeds: Feeds,
        secrets: SecretFolder,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(ServerStateInner {
            seal: TokenSeal::new(database.log()),
            readers: FairShare::new(readers_per_caller(database.max_readers())),
            database,
            feeds,
            secrets,
            stop,
        }))
    }

    pub(crate) fn database(&self) -> &Store {
        &self.0.database
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    pub(crate) fn readers(&self) -> &FairShare<String> {
        &self.0.readers
    }

    pub(crate) fn secrets(&self) -> &SecretFolder {
        &self.0.secrets
    }

    pub(crate) fn seal(&self) -> &TokenSeal {
        &self.0.seal
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }
}

/// How many connections one caller may read with at once: all but a quarter, so that others find
/// one at once.
fn readers_per_caller(readers: u32) -> u32 {
    (readers - readers.div_ceil(4)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g10_no_caller_reads_with_all_connections() {
        let shares = [1, 2, 4, 16].map(readers_per_caller);
        assert_eq!(shares, [1, 1, 3, 12]);
    }
}
