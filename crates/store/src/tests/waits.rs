//! A call waits for several things one after the other, and has one time for all of it.
//!
//! No test here measures a wait. What must be over in time is waited for beside a clock
//! that begins with it, and one limit is much longer than the other.

use std::{sync::Arc, time::Duration};

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use futures::{FutureExt as _, future::join_all};
use rstest_reuse::apply;
use tokio::{
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use viridian_engine::WaitStart;
use viridian_strategy::{DeploymentId, RouteHealth};

use super::{
    fixture::{Engine, Fixture, call, engines, manual},
    invariants,
};
use crate::{
    HealthReport, Limits, ReportError, StoreError, UnitError, transaction::UnitTransaction,
};

/// Another program that has what each call needs: SQLite's file, or a table.
enum OtherProgram {
    Sqlite(SqliteConnection),
    Postgres(tokio_postgres::Client),
}

impl OtherProgram {
    async fn lock(fixture: &Fixture) -> Self {
        if let Some(path) = fixture.url.strip_prefix("sqlite:") {
            let mut file = SqliteConnection::establish(path).expect("the file opens");
            let lock = "PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE";
            file.batch_execute(lock).expect("the file is locked");
            return Self::Sqlite(file);
        }
        let session = tokio_postgres::connect(&fixture.url, tokio_postgres::NoTls).await;
        let (client, connection) = session.expect("the server answers");
        tokio::spawn(connection);
        let lock = "BEGIN; LOCK TABLE deployments IN EXCLUSIVE MODE";
        client
            .batch_execute(lock)
            .await
            .expect("the table is locked");
        Self::Postgres(client)
    }

    async fn unlock(self) {
        match self {
            Self::Sqlite(mut file) => file.batch_execute("COMMIT").expect("it is unlocked"),
            Self::Postgres(client) => client
                .batch_execute("COMMIT")
                .await
                .expect("it is unlocked"),
        }
    }
}

/// They are in one queue, and none of them waits for the others to give up.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_behind_another_program_wait_side_by_side(#[case] engine: Engine) {
    let limits = Limits {
        acquire_timeout: Duration::from_secs(60),
        lock_timeout: LIMIT,
        busy_timeout: LIMIT,
        ..Limits::default()
    };
    let fixture = Arc::new(Fixture::within(engine, limits).await);
    let ids = deployments(&fixture).await;
    let footprint = fixture.footprint().await;
    let other = OtherProgram::lock(&fixture).await;
    let mut callers = pause_each(&fixture, &ids);
    // Twice as long would be one wait after another.
    let clock = sleep(LIMIT * 7 / 4);
    tokio::pin!(clock);
    for _ in &ids {
        let answer = tokio::select! {
            answer = callers.join_next() => answer.expect("one is left"),
            () = &mut clock => panic!("{} callers still wait", callers.len()),
        };
        let refused = answer.expect("it does not panic");
        assert!(
            matches!(refused, Some(StoreError::LockTimeout)),
            "{refused:?}"
        );
    }
    other.unlock().await;
    assert_eq!(fixture.footprint().await, footprint);
    for id in ids {
        fixture.pause(id, true).await;
    }
    invariants::hold(&fixture).await;
}

/// Their time for a turn is over long before that of the one whose turn it is.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_in_a_queue_that_stands_still_leave_it(#[case] engine: Engine) {
    let limits = Limits {
        connections: 1,
        acquire_timeout: Duration::from_millis(500),
        lock_timeout: Duration::from_secs(25),
        busy_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let fixture = Arc::new(Fixture::within(engine, limits).await);
    let ids = deployments(&fixture).await;
    let footprint = fixture.footprint().await;
    let other = OtherProgram::lock(&fixture).await;
    // On SQLite the callers' own batch has the writer, and waits with it.
    let first = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(take_the_connection(&fixture, ids[0]).await),
    };
    let mut callers = pause_each(&fixture, &ids);
    // The first one would be refused after so long.
    let clock = sleep(limits.lock_timeout);
    tokio::pin!(clock);
    for _ in &ids {
        let answer = tokio::select! {
            answer = callers.join_next() => answer.expect("one is left"),
            () = &mut clock => panic!("{} callers still wait", callers.len()),
        };
        let refused = answer.expect("it does not panic");
        assert!(
            matches!(refused, Some(StoreError::PoolTimeout)),
            "{refused:?}"
        );
    }
    other.unlock().await;
    if let Some(first) = first {
        let first = first.await.expect("it does not panic");
        first.expect("it has waited until now");
    }
    assert_eq!(fixture.footprint().await, footprint);
    for id in ids {
        fixture.pause(id, true).await;
    }
    invariants::hold(&fixture).await;
}

/// What blocks is not on a thread of the runtime: here there is one, besides the test's.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn other_tasks_go_on_while_the_file_is_locked() {
    let limits = Limits {
        acquire_timeout: Duration::from_secs(60),
        busy_timeout: Duration::from_secs(60),
        ..Limits::default()
    };
    let fixture = Arc::new(Fixture::within(Engine::Sqlite, limits).await);
    let ids = deployments(&fixture).await;
    let other = OtherProgram::lock(&fixture).await;
    let mut callers = pause_each(&fixture, &ids);
    let others = (0..100).map(|_| {
        tokio::spawn(async {
            sleep(Duration::from_millis(1)).await;
            tokio::task::yield_now().await;
        })
    });
    join_all(others).await;
    assert!(callers.join_next().now_or_never().is_none(), "they wait");
    other.unlock().await;
    while let Some(answer) = callers.join_next().await {
        let refused = answer.expect("it does not panic");
        assert!(refused.is_none(), "{refused:?}");
    }
    invariants::hold(&fixture).await;
}

/// One call with reports on many deployments that are all locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reports_on_many_locked_deployments_wait_once() {
    // Longer than elsewhere: a busy machine needs seconds for the rest.
    let limit = LIMIT * 2;
    let limits = Limits {
        lock_timeout: limit,
        ..Limits::default()
    };
    let fixture = Fixture::within(Engine::Postgres, limits).await;
    let ids = deployments(&fixture).await;
    let mut reports = Vec::new();
    for &id in &ids {
        let route = fixture.routes(id).await[0].view.id;
        let health = RouteHealth::Degraded;
        reports.push(HealthReport::new(route, health));
    }
    let other = OtherProgram::lock(&fixture).await;
    let results = tokio::select! {
        results = fixture.db.report_health(reports.clone()) => results.expect("it is taken"),
        () = sleep(limit * 7 / 4) => panic!("it waits for one after the other"),
    };
    let held: Vec<_> = ids.iter().map(|&id| Err(ReportError::Held(id))).collect();
    assert_eq!(results, held);
    other.unlock().await;
    let results = fixture.db.report_health(reports).await;
    assert!(results.expect("it is taken").iter().all(Result::is_ok));
    invariants::hold(&fixture).await;
}

async fn deployments(fixture: &Fixture) -> Vec<DeploymentId> {
    let mut ids = Vec::new();
    for _ in 0..CALLERS {
        ids.push(fixture.ready(1, manual()).await);
    }
    ids
}

/// Pauses each by a caller of its own. Gives how the database failed each, if it did.
fn pause_each(fixture: &Arc<Fixture>, ids: &[DeploymentId]) -> JoinSet<Option<StoreError>> {
    let mut callers = JoinSet::new();
    for &id in ids {
        let fixture = Arc::clone(fixture);
        callers.spawn(async move {
            match fixture.db.pause_deployment(id, &call()).await {
                Ok(_) => None,
                Err(UnitError::Store(error)) => Some(error),
                Err(error) => panic!("{error:?}"),
            }
        });
    }
    callers
}

/// Takes the only connection, and waits with it for a deployment's lock.
async fn take_the_connection(
    fixture: &Arc<Fixture>,
    id: DeploymentId,
) -> JoinHandle<Result<(), StoreError>> {
    let waits = tokio::spawn({
        let fixture = Arc::clone(fixture);
        async move {
            let lock = async |tx: &mut UnitTransaction| tx.lock(id).await.map(|_| ());
            fixture.db.write_locked(WaitStart::now(), [id], lock).await
        }
    });
    while fixture.db.connections_in_use().0 == 0 {
        tokio::task::yield_now().await;
    }
    waits
}

const CALLERS: usize = 8;

/// Long enough that a busy machine does not make two of one.
const LIMIT: Duration = Duration::from_secs(4);
