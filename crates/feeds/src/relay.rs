//! Keeps up the connection to the other servers on the same database.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use viridian_store::Store;

/// Relays for ever: connects again whenever the connection breaks.
pub(crate) async fn run(store: &Store) {
    let mut backoff = MIN_BACKOFF;
    loop {
        let connected_at = Instant::now();
        let error = store.relay().await;
        // A connection that lasted was no failed attempt.
        if connected_at.elapsed() > MAX_BACKOFF {
            backoff = MIN_BACKOFF;
        }
        tracing::warn!(%error, "no notifications from other servers; polling for their commits");
        sleep(backoff).await;
        backoff = (backoff * 2).min(MAX_BACKOFF);
    }
}

const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(10);
