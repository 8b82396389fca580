//! The relay: tells the servers on the same database what this one committed,
//! and hears from them.
//!
//! By `NOTIFY`, but not in the transaction that commits: PostgreSQL has those
//! that notify commit one after the other, which would be the end of its group
//! commit. So one connection of its own says, behind the commits and so many at
//! once, that there is something to look for. It is a hint and no more: one that
//! is lost costs its hearers the time until they look by themselves.

use std::{collections::BTreeSet, convert::Infallible, time::Duration};

use diesel_async::{AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use futures::{StreamExt as _, pin_mut};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use super::{Database, Engine};
use crate::{
    error::StoreError,
    notifier::{Notification, RemoteHint},
};

#[diesel::declare_sql_function]
extern "SQL" {
    fn pg_notify(
        channel: diesel::sql_types::Text,
        payload: diesel::sql_types::Text,
    ) -> diesel::sql_types::Text;
}

/// What is sent: who says it, and what.
#[derive(Serialize, Deserialize)]
struct NotifyPayload {
    from: Uuid,
    #[serde(flatten)]
    what: RemoteHint,
}

impl Database {
    /// Relays commits from and to the other servers on this database, until its
    /// connection breaks: then it is to be called again. What was missed before
    /// it is notices as "anything". On SQLite there are no others.
    pub async fn relay(&self) -> StoreError {
        match &self.engine {
            Engine::Pg(pool) => match pool.take().await {
                Ok(connection) => match self.relay_over(connection).await {
                    Err(error) => error,
                },
                Err(error) => error,
            },
            Engine::Sqlite(_) => std::future::pending().await,
        }
    }

    async fn relay_over(
        &self,
        mut connection: AsyncPgConnection,
    ) -> Result<Infallible, StoreError> {
        let me = Uuid::now_v7();
        let mut commits = self.subscribe();
        respond_in_time(connection.batch_execute(LISTEN)).await?;
        // Whatever was committed unheard, here or elsewhere.
        self.notifier.notify_remote(RemoteHint::anything());
        let mut pending = Some(RemoteHint::anything());
        let mut quiet_until = Instant::now();
        let mut last_response = Instant::now();
        loop {
            if quiet_until <= Instant::now()
                && let Some(what) = pending.take()
            {
                send(&mut connection, me, what).await?;
                quiet_until = Instant::now() + MIN_NOTIFY_INTERVAL;
                last_response = Instant::now();
            }
            let silent = tokio::select! {
                payload = recv(&mut connection) => {
                    if let Some(what) = decode(&payload?, me) {
                        self.notifier.notify_remote(what);
                    }
                    last_response = Instant::now();
                    false
                }
                commit = commits.recv() => {
                    coalesce(&mut pending, commit);
                    false
                }
                () = sleep_until(quiet_until), if pending.is_some() => false,
                () = sleep_until(last_response + PROBE_INTERVAL) => true,
            };
            if silent {
                // One that broke without a word would be waited on for ever.
                respond_in_time(connection.batch_execute("SELECT 1")).await?;
                last_response = Instant::now();
            }
        }
    }
}

/// Waits for a notification. Dropped before, it loses none.
async fn recv(connection: &mut AsyncPgConnection) -> Result<String, StoreError> {
    let notifications = connection.notifications_stream();
    pin_mut!(notifications);
    match notifications.next().await {
        Some(payload) => Ok(payload?.payload),
        None => Err(StoreError::Unavailable("the connection was closed".into())),
    }
}

/// Adds a commit of this process to what has to be said.
fn coalesce(pending: &mut Option<RemoteHint>, commit: Result<Notification, RecvError>) {
    let notices = match commit {
        Ok(Notification::Local(notices)) => notices,
        // They have payload it where we have it from.
        Ok(Notification::Remote(_)) | Err(RecvError::Closed) => return,
        Err(RecvError::Lagged(_)) => {
            *pending = Some(RemoteHint::anything());
            return;
        }
    };
    let all = pending.get_or_insert_with(|| RemoteHint {
        due: false,
        groups: Some(BTreeSet::new()),
    });
    all.due |= notices.due_at.is_some();
    if let (Some(groups), Some(group)) = (&mut all.groups, notices.resource_group) {
        groups.insert(group);
        if groups.iter().map(String::len).sum::<usize>() > MAX_GROUP_BYTES {
            all.groups = None;
        }
    }
}

async fn send(
    connection: &mut AsyncPgConnection,
    me: Uuid,
    what: RemoteHint,
) -> Result<(), StoreError> {
    let notice = NotifyPayload { from: me, what };
    let text = serde_json::to_string(&notice).map_err(|it| StoreError::Internal(it.to_string()))?;
    let notify = diesel::select(pg_notify(CHANNEL, text));
    respond_in_time(notify.execute(connection)).await?;
    Ok(())
}

/// What another process says. A text that this one does not understand may say
/// anything.
fn decode(text: &str, me: Uuid) -> Option<RemoteHint> {
    match serde_json::from_str::<NotifyPayload>(text) {
        Ok(notice) if notice.from == me => None,
        Ok(notice) => Some(notice.what),
        Err(_) => Some(RemoteHint::anything()),
    }
}

async fn respond_in_time<T>(
    statement: impl Future<Output = diesel::QueryResult<T>>,
) -> Result<T, StoreError> {
    match timeout(RESPONSE_TIMEOUT, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Unavailable("it does not answer".into())),
    }
}

const LISTEN: &str = "LISTEN viridian_changed";
const CHANNEL: &str = "viridian_changed";

/// How long at least from one notification to the next: what is committed in the
/// meantime goes together.
const MIN_NOTIFY_INTERVAL: Duration = Duration::from_millis(10);
const PROBE_INTERVAL: Duration = Duration::from_secs(30);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);

/// How many bytes the names of groups may have: a payload has 8,000 at most, and
/// an escaped character up to six.
const MAX_GROUP_BYTES: usize = 1_000;

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
        assert_eq!(pending, Some(RemoteHint::anything()));
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
