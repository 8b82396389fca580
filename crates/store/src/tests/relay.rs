//! The relay between servers on one database.

use tokio::{
    sync::broadcast::Receiver,
    time::{Duration, timeout},
};
use viridian_strategy::DeploymentId;

use super::fixture::{Engine, Fixture, call, manual};
use crate::{Notification, RemoteHint, Store, StoreError};

/// Another server on the same database, which relays.
struct Other {
    db: Store,
    relay: tokio::task::JoinHandle<StoreError>,
}

impl Other {
    async fn beside(fixture: &Fixture) -> Self {
        let db = Store::open(&fixture.url).await.expect("it opens");
        let relay = relay(&db);
        Self { db, relay }
    }
}

fn relay(db: &Store) -> tokio::task::JoinHandle<StoreError> {
    let db = db.clone();
    tokio::spawn(async move { db.relay().await })
}

/// The next that was committed elsewhere; the test's patience is limited.
async fn heard(commits: &mut Receiver<Notification>) -> RemoteHint {
    let heard = timeout(Duration::from_secs(30), async {
        loop {
            match commits.recv().await.expect("it goes on") {
                Notification::Remote(what) => return what,
                Notification::Local(_) => {}
            }
        }
    });
    heard.await.expect("it is heard of")
}

/// Waits until one server has heard a commit of the other, so that both listen. A
/// commit from before that is part of the "anything" of a beginning.
async fn until_they_hear(of: &Fixture, id: DeploymentId, commits: &mut Receiver<Notification>) {
    for _ in 0..60 {
        let paused = of.db.pause_deployment(id, &call()).await;
        paused.expect("it is paused");
        let resumed = of.db.resume_deployment(id, &call()).await;
        resumed.expect("it goes on");
        let something = async { while heard(commits).await.groups.is_none() {} };
        if timeout(Duration::from_millis(500), something).await.is_ok() {
            return;
        }
    }
    panic!("they do not hear of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_heard_of_by_the_others() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let id = fixture.ready(1, manual()).await;
    let other = Other::beside(&fixture).await;
    let mut commits = other.db.subscribe();
    let begun = heard(&mut commits).await;
    assert_eq!(
        begun,
        RemoteHint::anything(),
        "what was missed may be anything"
    );
    let mine = relay(&fixture.db);
    assert_eq!(heard(&mut commits).await, RemoteHint::anything());

    fixture.deploy(id).await;
    let mut all = heard(&mut commits).await;
    while !all
        .groups
        .as_ref()
        .is_some_and(|groups| groups.contains("g"))
    {
        all = heard(&mut commits).await;
    }
    assert!(all.due || all.groups.is_some());
    other.relay.abort();
    mine.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_noticed_and_what_was_missed_is_said() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let id = fixture.ready(1, manual()).await;
    let other = Other::beside(&fixture).await;
    let mut commits = other.db.subscribe();
    let mine = relay(&fixture.db);
    until_they_hear(&fixture, id, &mut commits).await;

    let killed = fixture
        .number(
            "SELECT COUNT(pg_terminate_backend(pid)) AS n FROM pg_stat_activity \
             WHERE datname = current_database() \
             AND (query LIKE '%pg_notify%' OR query LIKE 'LISTEN %') AND pid <> pg_backend_pid()",
        )
        .await;
    assert_eq!(killed, 2);
    for broken in [other.relay, mine] {
        let error = timeout(Duration::from_secs(30), broken).await;
        let error = error.expect("it is noticed").expect("it does not panic");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
    let again = [relay(&other.db), relay(&fixture.db)];
    while heard(&mut commits).await != RemoteHint::anything() {}
    until_they_hear(&fixture, id, &mut commits).await;
    for relay in again {
        relay.abort();
    }
}
