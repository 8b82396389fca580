//! A session that holds a deployment's row and does nothing with it: who wants
//! that deployment is told so after 2 s, and nobody else waits.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;
use viridian_strategy::{DeploymentId, RouteHealth};

use super::{
    fixture::{Engine, Fixture, amend, call, manual},
    invariants,
};
use crate::{
    HealthReport, Limits, MemberRefusal, Notification, PromoteMember, ReportError, Request,
    RequestContext, RequestId, SetRefusal, Store, StoreError, UnitError,
};

/// A session that has a deployment's lock and is idle in its transaction.
struct Holder {
    client: tokio_postgres::Client,
}

impl Holder {
    async fn hold(fixture: &Fixture, id: DeploymentId) -> Self {
        let session = tokio_postgres::connect(&fixture.url, tokio_postgres::NoTls).await;
        let (client, connection) = session.expect("the server answers");
        // Ends with the client.
        tokio::spawn(connection);
        let name = fixture.get(id).await.name;
        let lock = format!("BEGIN; SELECT id FROM deployments WHERE name = '{name}' FOR UPDATE");
        client.batch_execute(&lock).await.expect("it is held");
        Self { client }
    }

    async fn release(self) {
        self.client
            .batch_execute("COMMIT")
            .await
            .expect("it is let go");
    }
}

/// All that callers of the held one do waits meanwhile, and far longer than the others need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_waits_for_a_deployment_that_is_held() {
    let fixture = Arc::new(Fixture::within(Engine::Postgres, patient()).await);
    let (held, _) = fixture.at_the_gate(2, manual()).await;
    let mut others = Vec::new();
    for _ in 0..50 {
        others.push(fixture.ready(1, manual()).await);
    }
    let set_aside = fixture.db.postpone(held, Duration::ZERO).await;
    set_aside.expect("it is due");
    let holder = Holder::hold(&fixture, held).await;
    let mut callers = call_in_each_way(&fixture, held, 8).await;
    while fixture.number(BLOCKED).await == 0 {
        assert!(callers.try_join_next().is_none(), "they wait");
    }
    for _ in 0..3 {
        pass(&fixture, &others).await;
    }
    assert!(callers.try_join_next().is_none(), "the others were faster");

    holder.release().await;
    let were_refused = callers.join_all().await;
    assert!(!were_refused.contains(&true), "it is not held any more");
    // The last of them may have left a cycle nothing to do: an abort creates what is missing.
    let due = fixture.db.postpone(held, Duration::ZERO).await;
    due.expect("it is due");
    assert!(fixture.db.reconcile(held).await.expect("it runs").is_some());
    invariants::hold(&fixture).await;
}

/// One connection is for the callers of the held one, and one for all others: a second one
/// that waits for the lock would leave none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_of_a_held_one_leave_the_connections_to_others() {
    let limits = Limits {
        connections: 2,
        ..patient()
    };
    let fixture = Arc::new(Fixture::within(Engine::Postgres, limits).await);
    let (held, _) = fixture.at_the_gate(2, manual()).await;
    let mut others = Vec::new();
    for _ in 0..30 {
        others.push(fixture.at_the_gate(1, manual()).await.0);
    }
    let holder = Holder::hold(&fixture, held).await;
    let mut callers = JoinSet::new();
    for _ in 0..64 {
        let fixture = Arc::clone(&fixture);
        callers.spawn(async move {
            let terms = call();
            let promoted = fixture.db.complete_manual_promote(held, None, &terms);
            promoted.await
        });
    }
    while fixture.number(BLOCKED).await == 0 {
        assert!(callers.try_join_next().is_none(), "they wait");
    }
    for id in others {
        let terms = call();
        let promoted = fixture.db.complete_manual_promote(id, None, &terms);
        promoted.await.expect("nobody holds it");
        assert_eq!(fixture.number(BLOCKED).await, 1, "one of them waits");
    }
    assert!(callers.try_join_next().is_none(), "the others were faster");

    holder.release().await;
    let promoted = callers.join_all().await;
    let is_done = |result: &&Result<_, _>| result.is_ok();
    assert_eq!(promoted.iter().filter(is_done).count(), 1, "once");
    assert!(
        !promoted.into_iter().any(is_held),
        "it is not held any more"
    );
    assert_eq!(fixture.db.locked_keys(), 0, "no key is left");
    invariants::hold(&fixture).await;
}

/// In series their waits would take two minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_of_a_held_one_give_up_side_by_side() {
    let fixture = Arc::new(Fixture::new(Engine::Postgres).await);
    let (held, _) = fixture.at_the_gate(2, manual()).await;
    let holder = Holder::hold(&fixture, held).await;
    let begin = Instant::now();
    let callers = call_in_each_way(&fixture, held, 64).await;
    let were_refused = tokio::select! {
        were_refused = callers.join_all() => were_refused,
        () = sleep(LOCK_TIMEOUT * 15) => panic!("one waits for the other"),
    };
    assert!(
        !were_refused.contains(&false),
        "each learns that it is held"
    );
    assert!(begin.elapsed() > LOCK_TIMEOUT * 9 / 10, "they waited");
    assert_eq!(fixture.db.locked_keys(), 0, "no key is left");

    holder.release().await;
    let promoted = fixture
        .db
        .complete_manual_promote(held, None, &call())
        .await;
    promoted.expect("nobody holds it");
    invariants::hold(&fixture).await;
}

/// What a batch of callers waits for is not always a deployment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_batch_that_takes_long() {
    let fixture = Arc::new(Fixture::within(Engine::Postgres, patient()).await);
    let (waits, _) = fixture.at_the_gate(1, manual()).await;
    let (other, _) = fixture.at_the_gate(1, manual()).await;
    let session = tokio_postgres::connect(&fixture.url, tokio_postgres::NoTls).await;
    let (client, connection) = session.expect("the server answers");
    tokio::spawn(connection);
    let id = Uuid::from_u128(1);
    let reply = format!(
        "BEGIN; INSERT INTO replies (request_id, project, method, fingerprint, reply, created_at) \
         VALUES ('{id}', 'p', 'Promote', '', '{{}}', now())"
    );
    client.batch_execute(&reply).await.expect("it is there");

    let terms = RequestContext {
        request: Some(Request {
            id: RequestId(id),
            method: "Promote",
            fingerprint: Vec::new(),
        }),
        ..call()
    };
    let waiting = tokio::spawn({
        let fixture = Arc::clone(&fixture);
        async move {
            let promoted = fixture.db.complete_manual_promote(waits, None, &terms);
            promoted.await
        }
    });
    while fixture.number(BLOCKED).await == 0 {
        assert!(!waiting.is_finished(), "it waits");
    }
    let terms = call();
    let promoted = fixture.db.complete_manual_promote(other, None, &terms);
    promoted.await.expect("nothing is in its way");
    assert!(!waiting.is_finished(), "it was not beside it");

    client.batch_execute("ROLLBACK").await.expect("it goes");
    let promoted = waiting.await.expect("it does not panic");
    promoted.expect("nothing is in its way any more");
    invariants::hold(&fixture).await;
}

/// A report on a deployment that is held fails alone, and the others are applied before it is
/// waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_on_a_held_one_fails_alone() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let free = fixture.ready(1, manual()).await;
    let held = fixture.ready(1, manual()).await;
    let routes = [
        fixture.routes(free).await[0].view.id,
        fixture.routes(held).await[0].view.id,
    ];
    let report = |health| {
        let reports = routes.map(|route| HealthReport::new(route, health));
        fixture.db.report_health(reports.into())
    };
    let health = async |id| fixture.routes(id).await[0].view.health;

    let holder = Holder::hold(&fixture, held).await;
    let before = fixture.get(held).await;
    let results = report(RouteHealth::Degraded).await;
    let results = results.expect("the batch is taken");
    assert_eq!(results, [Ok(()), Err(ReportError::Held(held))]);
    assert_eq!(health(free).await, RouteHealth::Degraded, "it is applied");
    assert_eq!(fixture.get(held).await, before);
    assert_eq!(health(held).await, RouteHealth::Healthy);

    // Released when the other is committed: waited for first, it would have been refused.
    let mut commits = fixture.db.subscribe();
    let (results, ()) = tokio::join!(report(RouteHealth::Unhealthy), async {
        let committed = commits.recv().await.expect("a commit");
        assert!(matches!(committed, Notification::Local(it) if it.deployment == free));
        holder.release().await;
    });
    assert_eq!(results.expect("nobody holds it"), [Ok(()), Ok(())]);
    for id in [free, held] {
        assert_eq!(health(id).await, RouteHealth::Unhealthy);
    }
    // Once more, with one that changes nothing any more.
    let results = report(RouteHealth::Unhealthy).await;
    assert_eq!(results.expect("nobody holds it"), [Ok(()), Ok(())]);
    invariants::hold(&fixture).await;
}

/// Two servers have a set of the same members, each in another order, and both wait for both. In
/// the order of the requests, each would get its first one and wait for that of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sets_that_wait_do_not_wait_for_each_other() {
    let fixture = Fixture::within(Engine::Postgres, patient()).await;
    // On one server the second set would not get as far as to the rows.
    let beside = Store::open_within(&fixture.url, patient()).await;
    let beside = beside.expect("the database opens");
    let mut ids = Vec::new();
    let mut holders = Vec::new();
    for _ in 0..2 {
        let (id, _) = fixture.at_the_gate(1, manual()).await;
        holders.push(Holder::hold(&fixture, id).await);
        ids.push(id);
    }
    let mut sets = JoinSet::new();
    for db in [fixture.db.clone(), beside] {
        let members: Vec<_> = ids.iter().map(|id| PromoteMember::of(*id)).collect();
        sets.spawn(async move { db.promote_deployments(&members, &call()).await });
        ids.reverse();
    }
    let name = fixture.get(ids[0]).await.name;
    let is_free = format!(
        "SELECT COUNT(*) AS n FROM \
         (SELECT id FROM deployments WHERE name = '{name}' FOR UPDATE SKIP LOCKED) AS free"
    );
    for holder in holders {
        // From the second time on, one of them has the first row, and waits for the next.
        while fixture.number(&is_free).await > 0 || fixture.number(BLOCKED).await < 2 {
            assert!(sets.try_join_next().is_none(), "they wait");
        }
        holder.release().await;
    }
    let mut promoted = 0;
    for result in sets.join_all().await {
        match result {
            Ok(set) => promoted += set.members.len(),
            // It came second, and there was nothing left to promote.
            Err(UnitError::Refused(SetRefusal::Members(refusals))) => {
                let is_ruled = |it: &MemberRefusal<_>| matches!(it.why, UnitError::Refused(_));
                assert!(refusals.iter().all(is_ruled), "{refusals:?}");
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(promoted, 2, "one of the sets, as a whole");
    invariants::hold(&fixture).await;
}

/// Does what a coordinator and a health checker do for some deployments.
async fn pass(fixture: &Fixture, ids: &[DeploymentId]) {
    for &id in ids {
        let route = fixture.routes(id).await[0].view.id;
        for health in [RouteHealth::Degraded, RouteHealth::Healthy] {
            fixture.health(&[route], health).await;
        }
        // What was reported gives a cycle nothing to do.
        let due = fixture.db.postpone(id, Duration::ZERO).await;
        due.expect("it is due");
    }
    let done: BTreeSet<_> = fixture.pass().await.done.into_iter().collect();
    let all: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(done, all, "only the held one is passed over");
}

/// Calls that want one deployment, of four kinds in turn. Each gives whether it was refused
/// because the deployment is held.
async fn call_in_each_way(fixture: &Arc<Fixture>, id: DeploymentId, count: u32) -> JoinSet<bool> {
    let route = fixture.routes(id).await[0].view.id;
    let mut callers = JoinSet::new();
    for caller in 0..count {
        let fixture = Arc::clone(fixture);
        callers.spawn(async move {
            let db = &fixture.db;
            match caller % 4 {
                0 => is_held(db.complete_manual_promote(id, None, &call()).await),
                1 => is_held(db.abort_deployment(id, None, &call()).await),
                2 => {
                    let update = amend(move |it| it.target_replicas = 3);
                    is_held(db.update_deployment(id, update, &call()).await)
                }
                _ => {
                    let health = RouteHealth::Unhealthy;
                    let reported = db
                        .report_health(vec![HealthReport::new(route, health)])
                        .await;
                    reported.expect("the rest is taken") == [Err(ReportError::Held(id))]
                }
            }
        });
    }
    callers
}

fn is_held<T, R>(result: Result<T, UnitError<R>>) -> bool {
    matches!(result, Err(UnitError::Store(StoreError::LockTimeout)))
}

/// How many sessions wait for a lock.
const BLOCKED: &str = "SELECT COUNT(*) AS n FROM pg_stat_activity \
                       WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// What sessions of the store have.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Limits under which whoever has to wait does so for longer than any test takes.
fn patient() -> Limits {
    Limits {
        acquire_timeout: Duration::from_secs(60),
        lock_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(90),
        ..Limits::default()
    }
}
