//! Passes over the due queue: many deployments at once, and one that is broken
//! or held stops no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use rstest_reuse::apply;
use tokio::sync::Barrier;
use viridian_strategy::{DeploymentId, RouteHealth};

use super::{
    broken::{literal, refuse_events},
    fixture::{Engine, Fixture, call, engines, manual, spec},
    invariants,
};
use crate::{
    FailureBackoff, HealthReport, ReportError, Store, StoreError, transaction::UnitTransaction,
};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_broken_is_set_aside(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let all = due(&fixture, 6).await;
    let [unreadable, unwritable, ..] = all[..] else {
        panic!("six of them")
    };
    spoil(&fixture, engine, unreadable).await;
    refuse_events(&fixture, engine, unwritable).await;

    let pass = fixture
        .db
        .reconcile_due(10, &aside())
        .await
        .expect("it goes through");
    assert_eq!(pass.done, all[2..], "the others are done");
    let failed: BTreeMap<_, _> = pass.failed.into_iter().collect();
    assert_eq!(failed.len(), 2, "{failed:?}");
    let why = &failed[&unreadable];
    assert!(
        matches!(why, StoreError::Corrupt { id, .. } if *id == unreadable),
        "{why:?}"
    );
    let why = &failed[&unwritable];
    assert!(
        matches!(why, StoreError::Internal(why) if why.contains("refused")),
        "{why:?}"
    );

    // They are out of the way, and come back.
    let pass = fixture
        .db
        .reconcile_due(10, &aside())
        .await
        .expect("it goes through");
    assert!(pass.done.is_empty() && pass.failed.is_empty(), "{pass:?}");
    let next = pass.next.expect("they are due again");
    assert!(next > ASIDE / 2 && next <= ASIDE, "{next:?}");
    let routes = fixture.number("SELECT COUNT(*) AS n FROM routes").await;
    assert_eq!(
        routes,
        6 + 4,
        "one blue each, and green for all but the broken ones"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_set_aside_in_the_transaction_of_the_others() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let all = due(&fixture, 3).await;
    spoil(&fixture, Engine::Postgres, all[1]).await;
    assert_eq!(fixture.number(WRITERS).await, 3);
    let pass = fixture.db.reconcile_due(10, &aside()).await;
    let pass = pass.expect("it goes through");
    assert_eq!(pass.done, [all[0], all[2]]);
    assert_eq!(pass.failed.len(), 1);
    assert_eq!(fixture.number(WRITERS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_passed_over_and_keeps_its_place() {
    let fixture = Fixture::new(Engine::Postgres).await;
    let all = due(&fixture, 3).await;
    let other = Store::open(&fixture.url).await.expect("a second server");
    let pass = fixture
        .db
        .write(async |tx: &mut UnitTransaction| {
            tx.lock(all[1]).await?;
            other.reconcile_due(10, &aside()).await
        })
        .await
        .expect("both go through");
    assert_eq!(pass.done, [all[0], all[2]]);
    assert!(pass.failed.is_empty(), "{:?}", pass.failed);
    assert_eq!(
        other
            .reconcile_due(10, &aside())
            .await
            .expect("it goes through")
            .done,
        [all[1]]
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn the_longest_overdue_come_first(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut all = due(&fixture, 6).await;
    all.rotate_left(3);
    for (age, id) in (1..).zip(all.iter().rev()) {
        let at = fixture.db.now().await.expect("the time") - Duration::from_secs(age);
        let name = fixture.get(*id).await.name;
        let set = format!("UPDATE deployments SET due_at = '{at}' WHERE name = '{name}'");
        fixture.tamper(&set).await.expect("it is set");
    }
    for two in all.chunks(2) {
        let pass = fixture
            .db
            .reconcile_due(2, &aside())
            .await
            .expect("it goes through");
        let done: BTreeSet<_> = pass.done.into_iter().collect();
        assert_eq!(done, two.iter().copied().collect());
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_side_by_side_do_nothing_twice(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let all: BTreeSet<_> = due(&fixture, 120).await.into_iter().collect();
    let workers = match engine {
        Engine::Sqlite => [fixture.db.clone(), fixture.db.clone()],
        Engine::Postgres => {
            let other = Store::open(&fixture.url).await;
            [fixture.db.clone(), other.expect("a second server")]
        }
    };
    let start = Arc::new(Barrier::new(workers.len()));
    let workers = workers.map(|db| {
        let start = Arc::clone(&start);
        tokio::spawn(async move {
            // Has a connection when it begins.
            db.now().await.expect("the time");
            start.wait().await;
            let mut done = Vec::new();
            loop {
                let pass = db
                    .reconcile_due(5, &aside())
                    .await
                    .expect("it goes through");
                assert!(pass.failed.is_empty(), "{:?}", pass.failed);
                if pass.next != Some(Duration::ZERO) {
                    return done;
                }
                done.extend(pass.done);
            }
        })
    });
    let mut done = Vec::new();
    for worker in workers {
        let of_one = worker.await.expect("no panic");
        assert!(!of_one.is_empty(), "one did all of it");
        done.extend(of_one);
    }
    assert_eq!(
        done.len(),
        all.len(),
        "something was done twice, or not at all"
    );
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), all);
    let routes = fixture.number("SELECT COUNT(*) AS n FROM routes").await;
    assert_eq!(routes, 240);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_cannot_be_written_fails_alone(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (mut ids, mut reports) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let id = fixture.ready(1, manual()).await;
        ids.push(id);
        reports.push(HealthReport::new(
            fixture.routes(id).await[0].view.id,
            RouteHealth::Degraded,
        ));
    }
    refuse_events(&fixture, engine, ids[1]).await;
    spoil(&fixture, engine, ids[2]).await;
    let results = fixture
        .db
        .report_health(reports)
        .await
        .expect("the batch is taken");
    let unwritable = Err(ReportError::Unwritable(ids[1]));
    let unreadable = Err(ReportError::Unreadable(ids[2]));
    assert_eq!(results, [Ok(()), unwritable, unreadable, Ok(())]);
    for (id, result) in ids.into_iter().zip(results) {
        let health = fixture.routes(id).await[0].view.health;
        assert_eq!(health == RouteHealth::Degraded, result.is_ok());
    }
}

/// Deployments that are due, and have green to create.
async fn due(fixture: &Fixture, count: usize) -> Vec<DeploymentId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(fixture.ready(1, manual()).await);
    }
    for &id in &ids {
        let created = fixture.db.create_revision(id, spec(), true, &call()).await;
        created.expect("it is activated");
    }
    ids
}

/// Has a deployment's row not parse.
async fn spoil(fixture: &Fixture, engine: Engine, id: DeploymentId) {
    let id = literal(engine, id);
    let spoil = format!("UPDATE deployments SET policy = '{{\"nonsense\": 1}}' WHERE id = {id}");
    fixture.tamper(&spoil).await.expect("it is spoiled");
}

fn aside() -> FailureBackoff {
    FailureBackoff::new(ASIDE, ASIDE)
}

const ASIDE: Duration = Duration::from_secs(60);

/// How many transactions wrote the rows as they are.
const WRITERS: &str = "SELECT COUNT(DISTINCT CAST(xmin AS text)) AS n FROM deployments";
