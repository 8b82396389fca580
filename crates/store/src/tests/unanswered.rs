//! A PostgreSQL that takes all that it is sent and answers nothing: nobody waits
//! for it without end, and what has waited is as good as new when it is back.

use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::{
    cutter::{Cut, Cutter},
    fixture::{Engine, Fixture, call, find_deployment, manual},
    invariants,
};
use crate::{FailureBackoff, Limits, Store, StoreError, UnitError};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_that_gets_no_answer_is_given_up() {
    let fixture = Fixture::within(Engine::Postgres, limits()).await;
    let id = fixture.ready(1, manual()).await;
    let cutter = Cutter::before(&fixture.url).await;
    let db = Store::open_within(&cutter.url, limits()).await;
    let db = db.expect("it opens");
    let aside = FailureBackoff::new(Duration::from_secs(1), Duration::from_secs(1));
    let pass = db.reconcile_due(10, &aside).await.expect("it answers");
    assert!(pass.done.is_empty(), "{pass:?}");
    let due = fixture.db.postpone(id, Duration::ZERO).await;
    due.expect("it is due");

    cutter.silence(true);
    for least in [limits().statement_timeout * 2, limits().acquire_timeout] {
        let asked = Instant::now();
        let pass = timeout(WAIT_TIMEOUT, db.reconcile_due(10, &aside)).await;
        let pass = pass.expect("it is not waited for without end");
        let took = asked.elapsed();
        assert!(took >= least, "given up after {took:?}");
        let given_up = matches!(
            pass,
            Err(StoreError::Unavailable(_) | StoreError::PoolTimeout)
        );
        assert!(given_up, "{pass:?}");
        assert_eq!(
            db.connections_in_use().0,
            0,
            "it is not one of the pool any more"
        );
    }
    assert!(db.unanswered_for() >= limits().statement_timeout * 2);

    cutter.silence(false);
    let pass = db
        .reconcile_due(10, &aside)
        .await
        .expect("it answers again");
    assert_eq!(pass.done, [id], "it was nobody's fault");
    assert!(db.unanswered_for() < limits().statement_timeout);
}

/// Its caller goes away, or waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_gets_no_answer_holds_no_connection_for_ever() {
    let fixture = Fixture::within(Engine::Postgres, limits()).await;
    let cutter = Cutter::before(&fixture.url).await;
    let db = Store::open_within(&cutter.url, limits()).await;
    let db = db.expect("it opens");
    for waits in [true, false] {
        let id = fixture.ready(1, manual()).await;
        cutter.arm(Cut::Silent);
        let terms = call();
        let pause = db.pause_deployment(id, &terms);
        let begun = Instant::now();
        if waits {
            let paused = timeout(WAIT_TIMEOUT, pause).await.expect("it is given up");
            let unknown = matches!(paused, Err(UnitError::Store(StoreError::Unavailable(_))));
            assert!(unknown, "{paused:?}");
        } else {
            let gone = timeout(limits().statement_timeout / 2, pause).await;
            assert!(gone.is_err(), "{gone:?}");
            assert_eq!(db.connections_in_use().0, 1, "the COMMIT goes on");
        }
        assert!(cutter.has_cut(), "a COMMIT was sent");
        while db.connections_in_use().0 > 0 {
            assert!(begun.elapsed() < WAIT_TIMEOUT, "it holds its connection");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = begun.elapsed();
        assert!(took >= limits().statement_timeout * 2, "{took:?}");
        assert!(fixture.get(id).await.paused, "it had got through");
        let again = db.resume_deployment(id, &call()).await;
        again.expect("another connection does it");
    }
    invariants::hold(&fixture).await;
}

/// A read that its caller gives up leaves nothing behind for the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_given_up_is_not_waited_behind() {
    let fixture = Fixture::within(Engine::Postgres, limits()).await;
    let id = fixture.ready(1, manual()).await;
    let cutter = Cutter::before(&fixture.url).await;
    let narrow = Limits {
        connections: 1,
        ..limits()
    };
    let db = Store::open_within(&cutter.url, narrow).await;
    let db = db.expect("it opens");
    find_deployment(&db, id).await.expect("it answers");
    cutter.silence(true);
    let read = timeout(Duration::from_millis(100), find_deployment(&db, id)).await;
    assert!(read.is_err(), "{read:?}");
    assert_eq!(db.connections_in_use().0, 0);
    cutter.silence(false);
    find_deployment(&db, id).await.expect("by a new connection");
}

fn limits() -> Limits {
    Limits {
        acquire_timeout: Duration::from_secs(1),
        lock_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_secs(1),
        ..Limits::default()
    }
}

/// Far longer than any of the limits.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
