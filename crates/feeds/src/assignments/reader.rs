//! Reads the open assignments: one loop each process, as long as there is a subscription.

use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::sleep_until,
};
use viridian_store::{Notification, OpenAssignments, Store, StoreError};

use super::{
    AssignmentFeed,
    hub::{AssignmentHub, GroupTopic},
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
                commit = commits.recv() => poll_what_changed(hub, commit, &mut commits).await,
                () = hub.subscribed() => {}
                () = sleep_until(next) => {}
            }
            while let Some((topic, read)) = hub.take_due() {
                match read_group(store, &topic).await {
                    Ok(found) => hub.publish(&topic, read, found),
                    // `take_due` has set the time of the next read already: that is the retry.
                    Err(error) => {
                        tracing::warn!(group = topic.0, %error, "assignments cannot be read");
                    }
                }
            }
        }
    }
}

/// Has the groups read that a commit may concern, and those of all commits since:
/// the same reads find them.
async fn poll_what_changed(
    hub: &AssignmentHub,
    commit: Result<Notification, RecvError>,
    commits: &mut Receiver<Notification>,
) {
    match commit {
        Ok(commit) => hub.poll_now(|group| commit.may_assign(group)),
        Err(RecvError::Lagged(_)) => hub.poll_now(|_| true),
        Err(RecvError::Closed) => std::future::pending().await,
    }
    loop {
        match commits.try_recv() {
            Ok(commit) => hub.poll_now(|group| commit.may_assign(group)),
            Err(TryRecvError::Lagged(_)) => hub.poll_now(|_| true),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn read_group(
    store: &Store,
    (group, projects): &GroupTopic,
) -> Result<OpenAssignments, StoreError> {
    let projects = projects.clone();
    store.open_assignments(group, projects, MAX_OPEN).await
}

/// Open assignments of one group that are handed out at once.
const MAX_OPEN: u32 = 10_000;
