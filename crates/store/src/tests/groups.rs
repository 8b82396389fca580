//! Group commit on SQLite: several units of work, one COMMIT.

use std::sync::Arc;

use futures::future::join_all;
use tokio::{
    sync::oneshot,
    task::{JoinHandle, yield_now},
};

use super::fixture::{Engine, Fixture, call, manual};
use crate::{StoreError, UnitError};

/// Units that wait in line behind one that holds the writer, so that they are of
/// one group.
struct Line {
    fixture: Arc<Fixture>,
    units: Vec<JoinHandle<Result<(), StoreError>>>,
    first: Option<oneshot::Sender<()>>,
}

impl Line {
    async fn new() -> Self {
        let fixture = Arc::new(Fixture::new(Engine::Sqlite).await);
        let create = "CREATE TABLE noted (n INTEGER PRIMARY KEY) STRICT";
        fixture.tamper(create).await.expect("a table");
        let mut line = Self {
            fixture,
            units: Vec::new(),
            first: None,
        };
        let (held, go) = line.unit(0).await;
        held.await.expect("it has the writer");
        line.first = Some(go);
        line
    }

    /// A unit that notes a number, says so, and then waits to go on.
    async fn unit(&mut self, number: u32) -> (oneshot::Receiver<()>, oneshot::Sender<()>) {
        let (noted, has_noted) = oneshot::channel();
        let (go, may_go) = oneshot::channel::<()>();
        let fixture = Arc::clone(&self.fixture);
        self.units.push(tokio::spawn(async move {
            fixture
                .db
                .write(async |tx| {
                    let insert = format!("INSERT INTO noted VALUES ({number})");
                    tx.connection().await?.execute(&insert).await?;
                    let _ = noted.send(());
                    may_go.await.map_err(|_| StoreError::LockTimeout)
                })
                .await
        }));
        in_line().await;
        (has_noted, go)
    }

    async fn start(&mut self) {
        let first = self.first.take().expect("not started");
        first.send(()).expect("it waits");
        let first = self.units.remove(0).await.expect("no panic");
        first.expect("it is kept");
    }

    async fn noted(&self) -> i64 {
        self.fixture.number("SELECT COUNT(*) AS n FROM noted").await
    }
}

/// On a runtime of one thread what was spawned gets in line before this goes on.
async fn in_line() {
    yield_now().await;
}

#[tokio::test]
async fn nobody_is_told_before_all_of_it_is_durable() {
    let mut line = Line::new().await;
    let (one, go_one) = line.unit(1).await;
    let (two, go_two) = line.unit(2).await;
    line.start().await;
    one.await.expect("its turn");
    go_one.send(()).expect("it waits");
    two.await.expect("its turn");
    assert!(!line.units[0].is_finished(), "told before it is durable");
    assert_eq!(line.noted().await, 1, "only the first is committed");
    go_two.send(()).expect("it waits");
    for unit in std::mem::take(&mut line.units) {
        unit.await.expect("no panic").expect("it is kept");
    }
    assert_eq!(line.noted().await, 3);
}

#[tokio::test]
async fn one_that_fails_or_is_cancelled_is_undone_alone() {
    let mut line = Line::new().await;
    let (one, go_one) = line.unit(1).await;
    let (two, go_two) = line.unit(2).await;
    let (three, _never) = line.unit(3).await;
    let (four, go_four) = line.unit(4).await;
    line.start().await;
    one.await.expect("its turn");
    go_one.send(()).expect("it waits");
    two.await.expect("its turn");
    drop(go_two);
    three.await.expect("its turn");
    line.units[2].abort();
    four.await.expect("its turn");
    go_four.send(()).expect("it waits");
    let results = join_all(std::mem::take(&mut line.units)).await;
    let [kept, failed, cancelled, last] = &results[..] else {
        panic!("four units");
    };
    assert!(matches!(kept, Ok(Ok(()))), "{kept:?}");
    assert!(
        matches!(failed, Ok(Err(StoreError::LockTimeout))),
        "{failed:?}"
    );
    assert!(matches!(cancelled, Err(error) if error.is_cancelled()));
    assert!(matches!(last, Ok(Ok(()))), "{last:?}");
    let kept = "SELECT COUNT(*) AS n FROM noted WHERE n IN (0, 1, 4)";
    assert_eq!(line.fixture.number(kept).await, 3);
    assert_eq!(line.noted().await, 3);
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_and_leaves_nothing() {
    let mut line = Line::new().await;
    let (one, go_one) = line.unit(1).await;
    // Behind the first the transaction is lost.
    let fixture = Arc::clone(&line.fixture);
    let lost = tokio::spawn(async move { fixture.tamper("ROLLBACK").await });
    in_line().await;
    let (two, go_two) = line.unit(2).await;
    line.start().await;
    one.await.expect("its turn");
    go_one.send(()).expect("it waits");
    two.await.expect_err("there is no transaction for it");
    drop(go_two);
    let results = join_all(std::mem::take(&mut line.units)).await;
    let lost = lost.await.expect("no panic");
    let results = results.into_iter().map(|result| result.expect("no panic"));
    for result in results.chain([lost]) {
        assert!(matches!(result, Err(StoreError::Internal(_))), "{result:?}");
    }
    assert_eq!(line.noted().await, 1);
    // The next ones find a new connection.
    let id = line.fixture.ready(1, manual()).await;
    let paused = line.fixture.db.pause_deployment(id, &call()).await;
    assert!(paused.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_rests_on_what_was_made_durable() {
    let fixture = Arc::new(Fixture::new(Engine::Sqlite).await);
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let callers = (0..32).map(|_| {
        let fixture = Arc::clone(&fixture);
        tokio::spawn(async move {
            let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
            let durable = "SELECT COUNT(*) AS n FROM history WHERE phase = 'PROMOTE'";
            (promoted, fixture.number(durable).await)
        })
    });
    let mut promoted = 0;
    for caller in join_all(callers).await {
        let (outcome, durable) = caller.expect("no panic");
        assert_eq!(durable, 1, "{outcome:?} was told before it was durable");
        match outcome {
            Ok(_) => promoted += 1,
            Err(UnitError::Refused(_)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(promoted, 1);
}
