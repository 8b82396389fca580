//! Reads the open assignments: one loop each process, as long as there is a subscription.

use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::{Instant, sleep_until},
};
use viridian_store::{AssignedDeployments, Notification, Store};

use super::{
    AssignmentFeed,
    hub::{AssignmentHub, DueRead},
};

/// Reads what has subscribers, for ever.
pub(crate) async fn run(feed: &AssignmentFeed, store: &Store) {
    let hub = &feed.hub;
    loop {
        hub.subscribed().await;
        // Armed before the first read: a commit between the two would be found only
        // by the next poll.
        let mut commits = store.subscribe();
        while let Some(next) = hub.next_read_at() {
            tokio::select! {
                commit = commits.recv() => note_commits(hub, commit, &mut commits).await,
                () = hub.subscribed() => {}
                () = sleep_until(next) => {}
            }
            while let Some(due) = hub.take_due() {
                read(hub, store, due).await;
            }
        }
    }
}

async fn read(hub: &AssignmentHub, store: &Store, due: DueRead) {
    let (group, projects) = &due.topic;
    let begun = Instant::now();
    let found = store.open_assignments(group, projects.clone(), &due.selection);
    match found.await {
        Ok(found) => hub.publish(&due, found, begun.elapsed()),
        Err(error) => {
            tracing::warn!(group, %error, "assignments cannot be read");
            hub.note_failure(&due);
        }
    }
}

/// Notes which deployments a commit concerns, and those of all commits since: the same
/// reads find them.
async fn note_commits(
    hub: &AssignmentHub,
    commit: Result<Notification, RecvError>,
    commits: &mut Receiver<Notification>,
) {
    match commit {
        Ok(commit) => hub.note_changes(|group| commit.assigned_in(group)),
        Err(RecvError::Lagged(_)) => hub.note_changes(|_| AssignedDeployments::Any),
        Err(RecvError::Closed) => std::future::pending().await,
    }
    loop {
        match commits.try_recv() {
            Ok(commit) => hub.note_changes(|group| commit.assigned_in(group)),
            Err(TryRecvError::Lagged(_)) => hub.note_changes(|_| AssignedDeployments::Any),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}
