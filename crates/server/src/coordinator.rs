//! The coordinator: takes what is due, and has it looked at. It has no rule of
//! its own.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use viridian_store::{Announcement, Database, StoreError};
use viridian_strategy::DeploymentId;

/// Works on the due queue until it is told to stop; then it finishes what it has
/// in hand.
///
/// It is woken by commits, by the time when the next deployment is due, and by
/// the slow poll, in case nothing was heard of a commit elsewhere.
pub(crate) async fn run(database: Database, stop: CancellationToken) {
    // Armed before the queue is looked at, so that nothing falls between.
    let mut commits = database.subscribe();
    while !stop.is_cancelled() {
        let wait = pass(&database).await;
        tokio::select! {
            () = stop.cancelled() => {}
            () = made_due(&mut commits), if wait > RETRY => {}
            () = sleep(wait) => {}
        }
    }
}

/// Works on one batch. Gives how long to wait for the next at most.
async fn pass(database: &Database) -> Duration {
    let batch = match database.list_due(BATCH).await {
        Ok(batch) => batch,
        Err(error) => {
            tracing::warn!(%error, "the due queue cannot be read");
            return RETRY;
        }
    };
    let looked_at = batch.due.len();
    let done = stream::iter(batch.due)
        .map(|id| cycle(database, id))
        .buffer_unordered(CONCURRENCY)
        .filter(|done| std::future::ready(*done))
        .count()
        .await;
    match (looked_at, done) {
        (0, _) => batch.next.unwrap_or(POLL).min(POLL),
        // All of it is in other hands, or failed.
        (_, 0) => RETRY,
        _ => Duration::ZERO,
    }
}

/// Does one cycle of one deployment; whether anything was done. One that fails
/// is set aside, so that it delays no other.
async fn cycle(database: &Database, id: DeploymentId) -> bool {
    let error = match database.run_cycle(id).await {
        Ok(done) => return done.is_some(),
        Err(error) => error,
    };
    match error {
        StoreError::Away(_) | StoreError::Exhausted | StoreError::Held => {
            tracing::warn!(deployment = %id, %error, "a cycle was given up");
        }
        StoreError::Corrupt { .. } | StoreError::Stale { .. } | StoreError::Broken(_) => {
            tracing::error!(deployment = %id, %error, "a cycle failed; the deployment is set aside");
            if let Err(error) = database.set_aside(id, ASIDE).await {
                tracing::warn!(deployment = %id, %error, "the deployment cannot be set aside");
            }
        }
    }
    false
}

/// Resolves when a commit, here or elsewhere, made something due, now or later.
async fn made_due(commits: &mut Receiver<Announcement>) {
    loop {
        match commits.recv().await {
            Ok(commit) if commit.made_due() => break,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => break,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
    // What else was announced until now is found by the same look.
    while commits.try_recv().is_ok() {}
}

const BATCH: u32 = 100;
const CONCURRENCY: usize = 4;
const POLL: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(50);
const ASIDE: Duration = Duration::from_secs(10);
