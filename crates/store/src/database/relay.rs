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
    signal::{Announcement, Elsewhere},
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
struct Notice {
    from: Uuid,
    #[serde(flatten)]
    what: Elsewhere,
}

impl Database {
    /// Relays commits from and to the other servers on this database, until its
    /// connection breaks: then it is to be called again. What was missed before
    /// it is announced as "anything". On SQLite there are no others.
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
        within(connection.batch_execute(LISTEN)).await?;
        // Whatever was committed unheard, here or elsewhere.
        self.signal.announce_elsewhere(Elsewhere::anything());
        let mut unsaid = Some(Elsewhere::anything());
        let mut quiet_until = Instant::now();
        let mut last_sign = Instant::now();
        loop {
            if quiet_until <= Instant::now()
                && let Some(what) = unsaid.take()
            {
                say(&mut connection, me, what).await?;
                quiet_until = Instant::now() + PAUSE;
                last_sign = Instant::now();
            }
            let silent = tokio::select! {
                heard = hear(&mut connection) => {
                    if let Some(what) = understand(&heard?, me) {
                        self.signal.announce_elsewhere(what);
                    }
                    last_sign = Instant::now();
                    false
                }
                commit = commits.recv() => {
                    note(&mut unsaid, commit);
                    false
                }
                () = sleep_until(quiet_until), if unsaid.is_some() => false,
                () = sleep_until(last_sign + SIGN_OF_LIFE) => true,
            };
            if silent {
                // One that broke without a word would be waited on for ever.
                within(connection.batch_execute("SELECT 1")).await?;
                last_sign = Instant::now();
            }
        }
    }
}

/// Waits for a notification. Dropped before, it loses none.
async fn hear(connection: &mut AsyncPgConnection) -> Result<String, StoreError> {
    let notifications = connection.notifications_stream();
    pin_mut!(notifications);
    match notifications.next().await {
        Some(heard) => Ok(heard?.payload),
        None => Err(StoreError::Away("the connection was closed".into())),
    }
}

/// Adds a commit of this process to what has to be said.
fn note(unsaid: &mut Option<Elsewhere>, commit: Result<Announcement, RecvError>) {
    let touched = match commit {
        Ok(Announcement::Here(touched)) => touched,
        // They have heard it where we have it from.
        Ok(Announcement::Elsewhere(_)) | Err(RecvError::Closed) => return,
        Err(RecvError::Lagged(_)) => {
            *unsaid = Some(Elsewhere::anything());
            return;
        }
    };
    let all = unsaid.get_or_insert_with(|| Elsewhere {
        due: false,
        groups: Some(BTreeSet::new()),
    });
    all.due |= touched.due_at.is_some();
    if let (Some(groups), Some(group)) = (&mut all.groups, touched.resource_group) {
        groups.insert(group);
        if groups.iter().map(String::len).sum::<usize>() > GROUPS {
            all.groups = None;
        }
    }
}

async fn say(
    connection: &mut AsyncPgConnection,
    me: Uuid,
    what: Elsewhere,
) -> Result<(), StoreError> {
    let notice = Notice { from: me, what };
    let text = serde_json::to_string(&notice).map_err(|it| StoreError::Broken(it.to_string()))?;
    let notify = diesel::select(pg_notify(CHANNEL, text));
    within(notify.execute(connection)).await?;
    Ok(())
}

/// What another process says. A text that this one does not understand may say
/// anything.
fn understand(text: &str, me: Uuid) -> Option<Elsewhere> {
    match serde_json::from_str::<Notice>(text) {
        Ok(notice) if notice.from == me => None,
        Ok(notice) => Some(notice.what),
        Err(_) => Some(Elsewhere::anything()),
    }
}

async fn within<T>(
    statement: impl Future<Output = diesel::QueryResult<T>>,
) -> Result<T, StoreError> {
    match timeout(ANSWER, statement).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StoreError::Away("it does not answer".into())),
    }
}

const LISTEN: &str = "LISTEN viridian_changed";
const CHANNEL: &str = "viridian_changed";

/// How long at least from one notification to the next: what is committed in the
/// meantime goes together.
const PAUSE: Duration = Duration::from_millis(10);
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);
const ANSWER: Duration = Duration::from_secs(5);

/// How many bytes the names of groups may have: a payload has 8,000 at most, and
/// an escaped character up to six.
const GROUPS: usize = 1_000;

#[cfg(test)]
mod tests {
    use viridian_strategy::{DeploymentId, Timestamp};

    use super::*;
    use crate::Touched;

    fn commit(group: &str, due: bool) -> Result<Announcement, RecvError> {
        Ok(Announcement::Here(Touched {
            deployment: DeploymentId(Uuid::nil()),
            epoch: None,
            due_at: due.then_some(Timestamp::from_micros(0)),
            resource_group: Some(group.to_owned()),
        }))
    }

    #[test]
    fn commits_go_together() {
        let mut unsaid = None;
        note(&mut unsaid, commit("a", false));
        note(&mut unsaid, commit("b", true));
        let expected = Elsewhere {
            due: true,
            groups: Some(["a".to_owned(), "b".to_owned()].into()),
        };
        assert_eq!(unsaid, Some(expected));
    }

    #[test]
    fn what_others_said_is_not_said_again() {
        let mut unsaid = None;
        let heard = Announcement::Elsewhere(Elsewhere::anything());
        note(&mut unsaid, Ok(heard));
        assert_eq!(unsaid, None);
    }

    #[test]
    fn too_many_groups_are_any() {
        let mut unsaid = None;
        for n in 0..200 {
            note(&mut unsaid, commit(&format!("\u{1}group-{n}"), true));
        }
        assert_eq!(unsaid, Some(Elsewhere::anything()));
        let mut unsaid = None;
        note(&mut unsaid, commit(&"\u{1}".repeat(GROUPS), true));
        let what = unsaid.expect("there is something");
        let from = Uuid::nil();
        let text = serde_json::to_string(&Notice { from, what }).expect("JSON");
        assert!(text.len() < 8_000, "{}", text.len());
    }

    #[test]
    fn only_others_are_listened_to() {
        let (me, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let what = Elsewhere {
            due: false,
            groups: Some(["g".to_owned()].into()),
        };
        let from = |from| {
            let what = what.clone();
            serde_json::to_string(&Notice { from, what }).expect("JSON")
        };
        assert_eq!(understand(&from(me), me), None);
        assert_eq!(understand(&from(other), me), Some(what.clone()));
        assert_eq!(understand("what?", me), Some(Elsewhere::anything()));
    }
}
