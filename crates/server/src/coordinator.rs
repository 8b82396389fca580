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
            () = made_due(&mut commits), if wait.ends_by_commit => {}
            () = sleep(wait.at_most) => {}
        }
    }
}

/// How long to wait for the next pass.
struct Wait {
    at_most: Duration,
    /// Not when something failed: that must not be tried as fast as others
    /// commit.
    ends_by_commit: bool,
}

/// Works on one batch.
async fn pass(database: &Database) -> Wait {
    let Pass { done, failed, next } = match database.run_due(BATCH, ASIDE).await {
        Ok(pass) => pass,
        Err(error) => {
            tracing::warn!(%error, "a pass over the due queue was given up");
            return Wait {
                at_most: RETRY,
                ends_by_commit: false,
            };
        }
    };
    let ends_by_commit = failed.is_empty();
    for (deployment, error) in failed {
        if error.is_of_rows() {
            tracing::error!(%deployment, %error, "a cycle failed; the deployment is set aside");
        } else {
            tracing::warn!(%deployment, %error, "a cycle was given up");
        }
    }
    let at_most = match next {
        _ if !done.is_empty() => Duration::ZERO,
        // All of it is in other hands, or failed. Those hands let go by a commit:
        // most often that of a report that came while the one before was looked
        // at.
        Some(Duration::ZERO) => RETRY,
        next => next.unwrap_or(POLL).min(POLL),
    };
    Wait {
        at_most,
        ends_by_commit,
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
