//! The pruner: deletes rows past retention, at intervals.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use viridian_store::{Pruned, Retention, Store};

/// Prunes at once and then at each interval, for ever. A pass may be dropped at any time: it
/// deletes in small transactions, and the next pass does the rest.
pub(crate) async fn run(database: Store, retention: Retention) {
    let mut times = interval(INTERVAL);
    // Without this, a pass that took too long would be followed by others without a pause.
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        times.tick().await;
        prune(&database, &retention).await;
    }
}

async fn prune(database: &Store, retention: &Retention) {
    match database.prune(retention).await {
        Ok(pruned) if pruned == Pruned::default() => {}
        Ok(pruned) => tracing::info!(
            replies = pruned.replies,
            events = pruned.events,
            history = pruned.history,
            routes = pruned.routes,
            revisions = pruned.revisions,
            deployments = pruned.deployments,
            "pruned what is old"
        ),
        Err(error) => tracing::warn!(%error, "pruning was given up until the next time"),
    }
}

/// A pass reads every old row, and ages are hours at least: a shorter interval would cost
/// more and gain nothing.
const INTERVAL: Duration = Duration::from_secs(10 * 60);
