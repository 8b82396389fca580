//! What is asked of a database has limits, and each is told apart by its error.

use std::time::{Duration, Instant};

use rstest_reuse::apply;
use tokio::time::timeout;

use super::fixture::{Engine, Fixture, call, engines, find_deployment, manual};
use crate::{Limits, Store, StoreError, UnitError, transaction::UnitTransaction};

/// Units of work, while as many are under way as there are connections.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_finds_no_connection_is_told_in_time(#[case] engine: Engine) {
    let fixture = Fixture::within(engine, narrow()).await;
    let (busy, other) = (
        fixture.ready(1, manual()).await,
        fixture.ready(1, manual()).await,
    );
    let footprint = fixture.footprint().await;
    let under_way = fixture.db.write(async |tx: &mut UnitTransaction| {
        tx.lock(busy).await?;
        let asked = Instant::now();
        // The connection stays in use until this has ended: without a limit it never would.
        let refused = timeout(WAIT_TIMEOUT, fixture.db.pause_deployment(other, &call())).await;
        let refused = refused.expect("it is not waited for without end");
        Ok::<_, StoreError>((refused.map(|_| ()), asked.elapsed()))
    });
    let (refused, waited) = under_way.await.expect("it is under way");
    assert!(
        matches!(refused, Err(UnitError::Store(StoreError::PoolTimeout))),
        "{refused:?}"
    );
    assert!(waited >= narrow().acquire_timeout, "{waited:?}");
    assert_eq!(fixture.footprint().await, footprint);
    fixture.pause(other, true).await;
}

/// The same for what only reads.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_finds_no_connection_is_told_in_time(#[case] engine: Engine) {
    let fixture = Fixture::within(engine, narrow()).await;
    let id = fixture.ready(1, manual()).await;
    let reader = fixture.db.reader().await.expect("there is one");
    // The reader is kept until this has ended: without a limit it never would.
    let refused = timeout(WAIT_TIMEOUT, find_deployment(&fixture.db, id)).await;
    let refused = refused.expect("it is not waited for without end");
    assert!(
        matches!(refused, Err(StoreError::PoolTimeout)),
        "{refused:?}"
    );
    drop(reader);
    fixture.get(id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_told_apart() {
    let limits = Limits {
        statement_timeout: Duration::from_secs(1),
        lock_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let fixture = Fixture::within(Engine::Postgres, limits).await;
    let id = fixture.ready(1, manual()).await;
    let footprint = fixture.footprint().await;
    let asked = Instant::now();
    let ended = fixture.db.write(async |tx: &mut UnitTransaction| {
        tx.lock(id).await?;
        tx.connection().await?.execute(NOT_DUE).await?;
        // Without a limit this would end well.
        tx.connection().await?.execute("SELECT pg_sleep(60)").await
    });
    let ended = ended.await;
    assert!(matches!(ended, Err(StoreError::TimedOut)), "{ended:?}");
    let waited = asked.elapsed();
    assert!(waited >= limits.statement_timeout, "{waited:?}");
    assert_eq!(fixture.footprint().await, footprint);
    fixture.pause(id, true).await;
}

/// As if its process were stopped: it is cut off, and others go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_stands_still_does_not_keep_its_locks() {
    let idle_timeout = Duration::from_secs(1);
    let stopped = Limits {
        idle_timeout,
        ..Limits::default()
    };
    let patient = Limits {
        lock_timeout: Duration::from_secs(20),
        ..Limits::default()
    };
    let fixture = Fixture::within(Engine::Postgres, stopped).await;
    let id = fixture.ready(1, manual()).await;
    let other = Store::open_within(&fixture.url, patient).await;
    let other = other.expect("a second server opens it");
    let mut waited = None;
    let unit = fixture.db.write(async |tx: &mut UnitTransaction| {
        tx.lock(id).await?;
        tx.connection().await?.execute(NOT_DUE).await?;
        let asked = Instant::now();
        // This transaction ends only after the call: without a limit the call would end with
        // a lock timeout.
        let paused = other.pause_deployment(id, &call()).await;
        paused.expect("it has the lock in the end");
        waited = Some(asked.elapsed());
        tx.lock(id).await
    });
    let unit = unit.await.map(|_| ());
    assert!(matches!(unit, Err(StoreError::Unavailable(_))), "{unit:?}");
    let waited = waited.expect("the other one was asked");
    assert!(waited >= idle_timeout * 9 / 10, "{waited:?}");
    assert!(fixture.get(id).await.paused, "the pool has another one");
}

/// One of each, for a moment.
fn narrow() -> Limits {
    Limits {
        connections: 1,
        readers: 1,
        acquire_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Far more than any of these takes.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

const NOT_DUE: &str = "UPDATE deployments SET due_at = NULL";
