//! The pruner: has the store forget what is old, now and then.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use viridian_store::{Database, Pruned, Retention};

/// Prunes at once and then every so often, until it is told to stop. What is
/// under way then is given up: it leaves nothing behind, and is done the next
/// time.
pub(crate) async fn run(database: Database, retention: Retention, stop: CancellationToken) {
    let mut times = interval(INTERVAL);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pruning = async {
        loop {
            times.tick().await;
            prune(&database, &retention).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = pruning => {}
    }
}

async fn prune(database: &Database, retention: &Retention) {
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

/// A pass looks at every old row. Ages are hours at least, so that more often
/// would cost more and keep less in no way that matters.
const INTERVAL: Duration = Duration::from_secs(10 * 60);
