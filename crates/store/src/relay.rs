//! The relay notifies the other servers on a database of this one's commits, and receives
//! theirs.
//!
//! It uses `NOTIFY`, but not in the transaction that commits: PostgreSQL commits
//! transactions that notify one after the other, which would end its group commit. So a
//! connection of its own sends one notification for many commits, after them. It is only a
//! hint: a server that misses it finds the commits at its next poll.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until},
};
use uuid::Uuid;
use viridian_engine::Listener;

use crate::{
    Store,
    error::StoreError,
    notifier::{Notification, RemoteHint},
};

/// The payload of a notification. Servers of other versions read it too.
#[derive(Serialize, Deserialize)]
struct NotifyPayload {
    from: Uuid,
    #[serde(flatten)]
    what: RemoteHint,
}

impl Store {
    /// Relays commits to and from the other servers on this database, until its connection
    /// is lost: then call it again. It begins with the hint that anything may have been
    /// committed. On SQLite there are no other servers, and it never returns.
    pub async fn relay(&self) -> StoreError {
        match self.engine().listen(CHANNEL).await {
            Ok(Some(listener)) => match self.relay_over(listener).await {
                Err(error) => error,
            },
            Ok(None) => std::future::pending().await,
            Err(error) => error.into(),
        }
    }

    async fn relay_over(&self, mut listener: Listener) -> Result<Infallible, StoreError> {
        // A new one for each connection is enough: it only says which notifications are one's own.
        let me = Uuid::now_v7();
        // Before the hints: a commit is covered by them, or is received here.
        let mut commits = self.subscribe();
        // Commits may have been missed while there was no connection, here and elsewhere.
        self.notifier().notify_remote(RemoteHint::anything());
        let mut pending = Some(RemoteHint::anything());
        let mut quiet_until = Instant::now();
        let mut last_response = Instant::now();
        loop {
            // The first commit after a pause is sent at once, and those that follow it together.
            if quiet_until <= Instant::now()
                && let Some(what) = pending.take()
            {
                listener.send(encode(me, what)?).await?;
                quiet_until = Instant::now() + MIN_NOTIFY_INTERVAL;
                last_response = Instant::now();
            }
            let silent = tokio::select! {
                payload = listener.recv() => {
                    if let Some(what) = decode(&payload?, me) {
                        self.notifier().notify_remote(what);
                    }
                    last_response = Instant::now();
                    false
                }
                commit = commits.recv() => {
                    coalesce(&mut pending, commit);
                    false
                }
                // For commits within the interval: nothing else wakes this loop to send them.
                () = sleep_until(quiet_until), if pending.is_some() => false,
                () = sleep_until(last_response + PROBE_INTERVAL) => true,
            };
            if silent {
                listener.probe().await?;
                last_response = Instant::now();
            }
        }
    }
}

/// Adds a commit of this process to the pending notification.
fn coalesce(pending: &mut Option<RemoteHint>, commit: Result<Notification, RecvError>) {
    let notice = match commit {
        Ok(Notification::Local(notice)) => notice,
        // The others have received it too.
        // The channel is never closed here, since this store has a sender.
        Ok(Notification::Remote(_)) | Err(RecvError::Closed) => return,
        Err(RecvError::Lagged(_)) => {
            *pending = Some(RemoteHint::anything());
            return;
        }
    };
    let all = pending.get_or_insert_with(|| RemoteHint {
        due: false,
        groups: Some(BTreeSet::new()),
        assigned: Some(BTreeSet::new()),
    });
    all.due |= notice.due_at.is_some();
    if let (Some(assigned), Some(_)) = (&mut all.assigned, &notice.resource_group) {
        assigned.insert(notice.deployment.0);
        if assigned.len() > MAX_ASSIGNED {
            all.assigned = None;
        }
    }
    if let (Some(groups), Some(group)) = (&mut all.groups, notice.resource_group) {
        groups.insert(group);
        if groups.iter().map(String::len).sum::<usize>() > MAX_GROUP_BYTES {
            all.groups = None;
        }
    }
}

fn encode(me: Uuid, what: RemoteHint) -> Result<String, StoreError> {
    let payload = NotifyPayload { from: me, what };
    serde_json::to_string(&payload).map_err(|error| StoreError::Internal(error.to_string()))
}

/// Decodes the notification of another process. One that this process cannot decode may
/// mean anything.
fn decode(text: &str, me: Uuid) -> Option<RemoteHint> {
    match serde_json::from_str::<NotifyPayload>(text) {
        // PostgreSQL notifies the sender as well.
        Ok(notice) if notice.from == me => None,
        Ok(notice) => Some(notice.what),
        Err(_) => Some(RemoteHint::anything()),
    }
}

const CHANNEL: &str = "viridian_changed";

/// The shortest time between two notifications. Commits in between share one.
const MIN_NOTIFY_INTERVAL: Duration = Duration::from_millis(10);

/// After this long without a response the connection is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(30);

/// The most bytes that the names of groups may have. A payload has 8,000, and an escaped
/// character takes up to six.
const MAX_GROUP_BYTES: usize = 1_000;

/// The most deployments that are named, for the same reason: each takes 39 bytes.
const MAX_ASSIGNED: usize = 40;

#[cfg(test)]
mod tests {
    use viridian_strategy::{DeploymentId, Timestamp};

    use super::*;
    use crate::CommitNotice;

    fn commit(group: &str, due: bool) -> Result<Notification, RecvError> {
        Ok(Notification::Local(CommitNotice {
            deployment: DeploymentId(Uuid::nil()),
            epoch: None,
            due_at: due.then_some(Timestamp::from_micros(0)),
            resource_group: Some(group.to_owned()),
        }))
    }

    #[test]
    fn commits_go_together() {
        let mut pending = None;
        coalesce(&mut pending, commit("a", false));
        coalesce(&mut pending, commit("b", true));
        let expected = RemoteHint {
            due: true,
            groups: Some(["a".to_owned(), "b".to_owned()].into()),
            assigned: Some([Uuid::nil()].into()),
        };
        assert_eq!(pending, Some(expected));
    }

    #[test]
    fn what_others_said_is_not_said_again() {
        let mut pending = None;
        let payload = Notification::Remote(RemoteHint::anything());
        coalesce(&mut pending, Ok(payload));
        assert_eq!(pending, None);
    }

    #[test]
    fn too_many_groups_are_any() {
        let mut pending = None;
        for n in 0..200 {
            coalesce(&mut pending, commit(&format!("\u{1}group-{n}"), true));
        }
        let expected = RemoteHint {
            due: true,
            groups: None,
            // All were about one deployment.
            assigned: Some([Uuid::nil()].into()),
        };
        assert_eq!(pending, Some(expected));
        let mut pending = None;
        coalesce(&mut pending, commit(&"\u{1}".repeat(MAX_GROUP_BYTES), true));
        let what = pending.expect("there is something");
        let from = Uuid::nil();
        let text = serde_json::to_string(&NotifyPayload { from, what }).expect("JSON");
        assert!(text.len() < 8_000, "{}", text.len());
    }

    #[test]
    fn only_others_are_listened_to() {
        let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let what = RemoteHint {
            due: false,
            groups: Some(["g".to_owned()].into()),
            assigned: None,
        };
        let from = |from| {
            let what = what.clone();
            serde_json::to_string(&NotifyPayload { from, what }).expect("JSON")
        };
        assert_eq!(decode(&from(me), me), None);
        assert_eq!(decode(&from(other), me), Some(what.clone()));
        assert_eq!(decode("what?", me), Some(RemoteHint::anything()));
    }
}
