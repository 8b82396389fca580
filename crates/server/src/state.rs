//! What all services share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use viridian_store::Database;

use crate::{silence::Heard, watches::Watches};

/// What all services share. Cheap to clone. They get at it by what a caller may
/// see of it: [`Scope`](crate::scope::Scope).
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    database: Database,
    watches: Arc<Watches>,
    heard: Arc<Heard>,
    stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(
        database: Database,
        watches: Arc<Watches>,
        heard: Arc<Heard>,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            database,
            watches,
            heard,
            stop,
        }))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn watches(&self) -> &Watches {
        &self.0.watches
    }

    pub(crate) fn heard(&self) -> &Heard {
        &self.0.heard
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }
}
