//! The state that all services share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use viridian_feeds::Feeds;
use viridian_store::Store;

use crate::token::TokenSeal;

/// The state that all services share. Cheap to clone. Services use it through what a caller
/// may see: [`Scope`](crate::scope::Scope).
#[derive(Clone)]
pub(crate) struct ServerState(Arc<ServerStateInner>);

struct ServerStateInner {
    database: Store,
    feeds: Feeds,
    seal: TokenSeal,
    stop: CancellationToken,
}

impl ServerState {
    pub(crate) fn new(database: Store, feeds: Feeds, stop: CancellationToken) -> Self {
        Self(Arc::new(ServerStateInner {
            seal: TokenSeal::new(database.log()),
            database,
            feeds,
            stop,
        }))
    }

    pub(crate) fn database(&self) -> &Store {
        &self.0.database
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    pub(crate) fn seal(&self) -> &TokenSeal {
        &self.0.seal
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }
}
