//! The coordinator: takes what is due, and has it looked at. It has no rule of
//! its own.

use std::time::Duration;

use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use viridian_store::{Announcement, Database, Pass};

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
    let Pass { done, failed, next } = match database.run_due(BATCH, ASIDE).await {
        Ok(pass) => pass,
        Err(error) => {
            tracing::warn!(%error, "a pass over the due queue was given up");
            return RETRY;
        }
    };
    for (deployment, error) in failed {
        if error.is_of_rows() {
            tracing::error!(%deployment, %error, "a cycle failed; the deployment is set aside");
        } else {
            tracing::warn!(%deployment, %error, "a cycle was given up");
        }
    }
    match next {
        _ if !done.is_empty() => Duration::ZERO,
        // All of it is in other hands, or failed.
        Some(Duration::ZERO) => RETRY,
        next => next.unwrap_or(POLL).min(POLL),
    }
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

/// So few that no call waits long for a deployment that is in a batch.
const BATCH: u32 = 200;
const POLL: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_millis(50);
const ASIDE: Duration = Duration::from_secs(10);
