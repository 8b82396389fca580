//! The log: how far it is settled, and that reading it has no gap.

use std::{collections::HashMap, time::Duration};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use viridian_strategy::{DeploymentId, Timestamp};

use super::{
    fixture::{Engine, Fixture, call, engines, manual},
    invariants,
};
use crate::{
    EventFilter, LogPoll, LogTailer, ReadLogError, Retention, Store,
    StoreError::{self, Corrupt},
};

/// A session beside Viridian's.
async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("a session");
    tokio::spawn(connection);
    client
}

/// Opens a transaction that has taken a position, by repeating the last event of
/// a deployment as a later one. Gives the position.
async fn take_position(client: &Client, of: DeploymentId) -> i64 {
    let take = format!(
        "INSERT INTO events (deployment_id, sequence, kind, snapshot, created_at) \
         SELECT deployment_id, sequence + 1, kind, snapshot, created_at FROM events \
         WHERE deployment_id = '{of}' ORDER BY position DESC LIMIT 1 RETURNING position"
    );
    client.batch_execute("BEGIN").await.expect("a transaction");
    let row = client.query_one(&take, &[]).await.expect("a position");
    row.get(0)
}

async fn look(log: &mut LogTailer) -> LogPoll {
    log.poll().await.expect("the log can be read")
}

/// Looks until nothing is held back. Few looks are enough: what is open is over.
async fn settle(log: &mut LogTailer) -> LogPoll {
    let mut all = look(log).await;
    for _ in 0..4 {
        if !all.held_back && !all.more {
            return all;
        }
        let next = look(log).await;
        all.changed.extend(next.changed);
        all = LogPoll {
            changed: all.changed,
            ..next
        };
    }
    panic!("it does not settle: {all:?}");
}

async fn pause(db: &Store, id: DeploymentId) {
    db.pause_deployment(id, &call())
        .await
        .expect("it is paused");
}

async fn end(fixture: &Fixture) -> i64 {
    fixture.db.log_end().await.expect("the log can be read")
}

#[rstest]
#[case::committed("COMMIT")]
#[case::rolled_back("ROLLBACK")]
#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_holds_back_what_is_behind_it(#[case] outcome: &str) {
    let fixture = Fixture::new(Engine::Postgres).await;
    let (quiet, busy) = (
        fixture.ready(0, manual()).await,
        fixture.ready(0, manual()).await,
    );
    let mut log = fixture.db.tail_log();
    let before = settle(&mut log).await.stable;
    assert_eq!(before, Some(end(&fixture).await));

    let other = session(&fixture.url).await;
    let taken = take_position(&other, quiet).await;
    pause(&fixture.db, busy).await;
    let seen = look(&mut log).await;
    assert_eq!(seen.stable, before, "{seen:?}");
    assert_eq!(seen.changed, [busy], "it is seen, and not settled");
    for _ in 0..10 {
        let seen = look(&mut log).await;
        assert_eq!((seen.stable, seen.held_back), (before, true), "{seen:?}");
    }
    // Those that are over by themselves do not let it pass.
    fixture
        .db
        .resume_deployment(busy, &call())
        .await
        .expect("it goes on");
    assert_eq!(look(&mut log).await.stable, before);

    other.batch_execute(outcome).await.expect("it ends");
    let seen = settle(&mut log).await;
    assert_eq!(seen.stable, Some(end(&fixture).await));
    assert_eq!(
        seen.changed.contains(&quiet),
        outcome == "COMMIT",
        "{seen:?}"
    );

    // Its place in the log is the one that it took.
    let filter = project("p");
    let after = before.expect("a position");
    let page = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .read_log(&filter, after, i64::MAX, 100)
        .await;
    let first = page.expect("it is read").entries[0].position;
    assert_eq!(first == taken, outcome == "COMMIT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_waits_for_what_is_open_when_it_begins() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let id = fixture.ready(0, manual()).await;
    let busy = fixture.ready(0, manual()).await;
    let other = session(&fixture.url).await;
    take_position(&other, id).await;
    pause(&fixture.db, busy).await;
    let mut log = fixture.db.tail_log();
    for _ in 0..3 {
        assert_eq!(look(&mut log).await.stable, None);
    }
    other.batch_execute("COMMIT").await.expect("it ends");
    assert_eq!(look(&mut log).await.stable, Some(end(&fixture).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_another_database_holds_back_nothing() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let elsewhere = Fixture::new(Engine::Postgres).await;
    let theirs = elsewhere.ready(0, manual()).await;
    let endless = session(&elsewhere.url).await;
    take_position(&endless, theirs).await;

    let id = fixture.ready(0, manual()).await;
    let busy = fixture.ready(0, manual()).await;
    let mut log = fixture.db.tail_log();
    settle(&mut log).await;
    let other = session(&fixture.url).await;
    take_position(&other, id).await;
    other.batch_execute("ROLLBACK").await.expect("it ends");
    pause(&fixture.db, busy).await;
    assert_eq!(settle(&mut log).await.stable, Some(end(&fixture).await));
    endless.batch_execute("ROLLBACK").await.expect("it ends");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn reading_what_is_settled_misses_nothing(#[case] engine: Engine) {
    const WRITERS: usize = 8;
    const CALLS: usize = 40;
    let fixture = Fixture::new(engine).await;
    let mut ids = Vec::new();
    for _ in 0..WRITERS {
        ids.push(fixture.ready(0, manual()).await);
    }
    let mut writers = JoinSet::new();
    for (n, id) in ids.into_iter().enumerate() {
        let db = fixture.db.clone();
        writers.spawn(async move {
            for call_number in 0..CALLS {
                // Every third is a repeat that takes a position and gives it back.
                let done = match (call_number + n) % 3 {
                    2 => refused(&db, id).await,
                    _ => Ok(()),
                };
                done.expect("it is as if nothing had been");
                if call_number % 2 == 0 {
                    pause(&db, id).await;
                } else {
                    let resumed = db.resume_deployment(id, &call()).await;
                    resumed.expect("it goes on");
                }
            }
            id
        });
    }
    let filter = project("p");
    let mut log = fixture.db.tail_log();
    let mut read: HashMap<DeploymentId, Vec<i64>> = HashMap::new();
    let mut position = 0;
    let mut over = false;
    loop {
        let seen = look(&mut log).await;
        let settled = seen.stable.unwrap_or(position);
        while position < settled {
            let page = fixture
                .db
                .reader()
                .await
                .expect("a reader")
                .read_log(&filter, position, settled, 7)
                .await;
            let page = page.expect("it is read");
            for entry in page.entries {
                assert!(entry.position > position && entry.position <= page.read);
                let event = entry.event.expect("it can be read").deployment;
                read.entry(event.id).or_default().push(event.sequence);
            }
            position = page.read;
        }
        if over && !seen.held_back && !seen.more {
            break;
        }
        while let Some(done) = writers.try_join_next() {
            done.expect("a writer does not fail");
        }
        over = writers.is_empty();
        tokio::task::yield_now().await;
    }
    assert_eq!(read.len(), WRITERS);
    for (id, sequences) in read {
        let last = fixture.get(id).await.sequence;
        let all: Vec<i64> = (1..=last).collect();
        assert_eq!(sequences, all, "of {id}");
    }
    invariants::hold(&fixture).await;
}

/// A unit of work that takes a position and is undone.
async fn refused(db: &Store, id: DeploymentId) -> Result<(), StoreError> {
    let undone: Result<(), StoreError> = db
        .write(async |tx| {
            let why = "on purpose";
            let Some(held) = tx.lock(id).await? else {
                return Ok(());
            };
            let take = format!(
                "INSERT INTO events (deployment_id, sequence, kind, snapshot, created_at) \
                 SELECT deployment_id, sequence + 1, 'UPDATED', snapshot, created_at FROM events \
                 WHERE deployment_id = (SELECT id FROM deployments WHERE name = '{}') \
                 ORDER BY sequence DESC LIMIT 1",
                held.deployment.name
            );
            tx.connection().await?.execute(&take).await?;
            Err(Corrupt { id, why })
        })
        .await;
    match undone {
        Err(Corrupt { .. }) => Ok(()),
        other => other,
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_is_never_passed_over(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let quiet = fixture.ready(0, manual()).await;
    let last_of_quiet = end(&fixture).await;
    let busy = fixture.ready(0, manual()).await;
    let middle = end(&fixture).await;
    pause(&fixture.db, busy).await;
    let last = end(&fixture).await;
    assert_eq!(
        read(&fixture, &project("p"), 0).await,
        Ok(last.try_into().expect("few"))
    );

    // All are old; of each the last one stays.
    prune(&fixture, 8).await;
    assert_eq!(read(&fixture, &project("p"), 0).await, Err(Gone));
    assert_eq!(read(&fixture, &only(busy), middle - 1).await, Err(Gone));
    assert_eq!(read(&fixture, &project("p"), last).await, Ok(0));
    // It has none behind that.
    assert_eq!(read(&fixture, &only(quiet), last_of_quiet).await, Ok(0));
    assert_eq!(read(&fixture, &project("elsewhere"), 0).await, Ok(0));
    let page = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .read_snapshots(&project("p"), last, None, 10)
        .await;
    let page = page.expect("how it was is known");
    assert_eq!(page.entries.len(), 2);
    let early = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .read_snapshots(&project("p"), middle, None, 10)
        .await;
    assert!(matches!(early, Err(ReadLogError::Expired)), "{early:?}");

    // A deployment that goes altogether takes what it was with it.
    fixture
        .db
        .delete_deployment(busy, &call())
        .await
        .expect("it is deleted");
    fixture.settle().await;
    let destroyed = end(&fixture).await;
    assert_eq!(read(&fixture, &only(busy), last).await, Ok(2));
    prune(&fixture, 31).await;
    assert_eq!(read(&fixture, &only(busy), last).await, Err(Gone));
    assert_eq!(read(&fixture, &project("p"), last).await, Err(Gone));
    assert_eq!(read(&fixture, &project("p"), destroyed).await, Ok(0));
    assert_eq!(read(&fixture, &only(quiet), last_of_quiet).await, Ok(0));
    assert_eq!(end(&fixture).await, destroyed, "the end stays where it was");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_as_of_their_position(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let first = fixture.ready(0, manual()).await;
    let second = fixture.ready(0, manual()).await;
    let position = end(&fixture).await;
    pause(&fixture.db, first).await;
    let third = fixture.ready(0, manual()).await;
    let then = snapshots(&fixture, position).await;
    assert_eq!(then, [(first, false), (second, false)]);
    let now = snapshots(&fixture, end(&fixture).await).await;
    assert_eq!(now, [(first, true), (second, false), (third, false)]);
}

/// Reads page by page: which deployments there were, and whether each was paused.
async fn snapshots(fixture: &Fixture, position: i64) -> Vec<(DeploymentId, bool)> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .read_snapshots(&project("p"), position, after, 1)
            .await;
        let page = page.expect("they are read");
        for entry in page.entries {
            let event = entry.event.expect("it can be read");
            found.push((entry.deployment, event.deployment.paused));
        }
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Gone;

/// How many events there are behind a position.
async fn read(fixture: &Fixture, filter: &EventFilter, after: i64) -> Result<usize, Gone> {
    match fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .read_log(filter, after, i64::MAX, 1_000)
        .await
    {
        Ok(page) => Ok(page.entries.len()),
        Err(ReadLogError::Expired) => Err(Gone),
        Err(ReadLogError::Store(error)) => panic!("{error}"),
    }
}

async fn prune(fixture: &Fixture, days: u64) {
    let now: Timestamp = fixture.db.now().await.expect("the time");
    let later = now + Duration::from_secs(days * 24 * 60 * 60);
    let pruned = fixture.db.prune_as_of(&Retention::default(), later).await;
    pruned.expect("it prunes");
}

fn project(name: &str) -> EventFilter {
    EventFilter {
        projects: vec![name.to_owned()],
        ..EventFilter::default()
    }
}

fn only(id: DeploymentId) -> EventFilter {
    EventFilter {
        deployments: vec![id],
        ..EventFilter::default()
    }
}
