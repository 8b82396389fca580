//! What all services share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use viridian_store::Database;

/// What all services share. Cheap to clone. They get at it by what a caller may
/// see of it: [`Scope`](crate::scope::Scope).
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    database: Database,
    stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(database: Database, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { database, stop }))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }
}
