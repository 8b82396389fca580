//! What all services share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use viridian_feeds::Feeds;
use viridian_store::Database;

use crate::silence::Heard;

/// What all services share. Cheap to clone. They get at it by what a caller may
/// see of it: [`Scope`](crate::scope::Scope).
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    database: Database,
    feeds: Feeds,
    heard: Arc<Heard>,
    stop: CancellationToken,
}

impl Shared {
    pub(crate) fn new(
        database: Database,
        feeds: Feeds,
        heard: Arc<Heard>,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            database,
            feeds,
            heard,
            stop,
        }))
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    pub(crate) fn heard(&self) -> &Heard {
        &self.0.heard
    }

    /// Resolves when the server stops.
    pub(crate) async fn stopping(&self) {
        self.0.stop.cancelled().await;
    }
}
