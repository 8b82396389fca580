//! What is copied from SQLite to PostgreSQL is the same there, and goes on.

use std::{collections::BTreeSet, time::Duration};

use viridian_strategy::{BlueGreen, Canary, CanaryStep, Policy, RouteHealth, Strategy, SubStep};

use super::{
    fixture::{Engine, Fixture, call, manual, with_request},
    invariants,
    schema::Catalog,
};
use crate::{
    AdvanceOptions, AssignmentSelection, Copied, CopyError, DeploymentFilter, OpenError, Projects,
    Tables, copy,
    schema::{HORIZON, TABLES},
};

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_the_same_and_goes_on() {
    let source = Fixture::new(Engine::Sqlite).await;
    let (waiting, _) = source.at_the_gate(2, manual()).await;
    // What is drained is not yet to be stopped, however long it takes to look twice.
    let draining = Policy {
        drain_grace: Duration::from_secs(60 * 60),
        ..manual()
    };
    let (promoted, _) = source.at_the_gate(3, draining).await;
    let terms = with_request();
    let first = source.db.complete_manual_promote(promoted, None, &terms);
    let first = first.await.expect("it is promoted");
    // More than go in one batch.
    for _ in 0..300 {
        source.pause(promoted, true).await;
        source.pause(promoted, false).await;
    }
    // As if events had been pruned.
    let numbered = "UPDATE sqlite_sequence SET seq = 5000 WHERE name = 'events'";
    source.tamper(numbered).await.expect("it is tampered with");
    let footprint = source.footprint().await;
    let seen = look(&source).await;
    let (url, keeper) = source.close();

    let target = Fixture::new(Engine::Postgres).await;
    let copied = copy(&url, &target.url).await.expect("it can be copied");
    let rows = |table| {
        let of_it = |it: &&Copied| it.table == table;
        copied.iter().find(of_it).expect("it is a table").rows
    };
    assert_eq!(rows("deployments"), 2);
    assert_eq!(rows("replies"), 1);
    assert!(rows("history") > 600 && rows("events") > 600, "{copied:?}");
    assert_eq!(target.footprint().await, footprint);
    assert_eq!(look(&target).await, seen);

    // A call that was answered before gets its answer again.
    let again = target.db.complete_manual_promote(promoted, None, &terms);
    let again = again.await.expect("it is the same call");
    assert_eq!(again.deployment, first.deployment);
    let promoted = target
        .db
        .complete_manual_promote(waiting, None, &call())
        .await;
    promoted.expect("it is at its gate");
    let last = target.number("SELECT MAX(position) AS n FROM events").await;
    assert_eq!(last, 5_001, "no position is given twice");
    target.settle().await;
    invariants::hold(&target).await;

    let source = Fixture::reopen((url, keeper)).await;
    assert_eq!(source.footprint().await, footprint, "it is not changed");
}

/// A canary goes on with the share that it has.
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_canary_goes_on_where_it_was_copied_to() {
    let step = |weight_permille| CanaryStep {
        weight_permille,
        hold: Duration::ZERO,
        manual: true,
        replicas: None,
    };
    let policy = Policy {
        strategy: Strategy::Canary(Canary {
            steps: vec![step(250), step(500)],
            switch: BlueGreen::default(),
        }),
        ..Policy::default()
    };
    let source = Fixture::new(Engine::Sqlite).await;
    let id = source.ready(4, policy).await;
    source.deploy(id).await;
    source.bring_up(id, RouteHealth::Healthy).await;
    let held = source.get(id).await;
    assert_eq!(held.state.sub_step(), Some(SubStep::Shifting));
    assert_eq!(held.status.effective_permille, 250);
    let seen = look(&source).await;
    let (url, _keeper) = source.close();

    let target = Fixture::new(Engine::Postgres).await;
    copy(&url, &target.url).await.expect("it can be copied");
    assert_eq!(target.get(id).await, held);
    assert_eq!(look(&target).await, seen);
    invariants::hold(&target).await;
    let options = AdvanceOptions {
        expected_step: Some(1),
        ..AdvanceOptions::default()
    };
    let advanced = target.db.advance_deployment(id, options, &call()).await;
    advanced.expect("it is held");
    target.settle().await;
    target.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(target.get(id).await.status.effective_permille, 500);
    invariants::hold(&target).await;
}

/// No table is left out.
#[tokio::test(flavor = "multi_thread")]
async fn every_table_is_copied() {
    let fixture = Fixture::new(Engine::Sqlite).await;
    let tables: BTreeSet<_> = Catalog::read(&fixture.url)
        .await
        .tables
        .into_keys()
        .collect();
    let copied = TABLES.into_iter().chain([HORIZON]);
    assert_eq!(tables, copied.map(str::to_owned).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_copied_is_refused() {
    let source = Fixture::new(Engine::Sqlite).await;
    source.ready(1, manual()).await;
    let target = Fixture::new(Engine::Postgres).await;

    let refused = copy(&source.url, &target.url).await;
    let Err(CopyError::Open(OpenError::File { why, .. })) = refused else {
        panic!("{refused:?}");
    };
    assert!(why.contains("another server has it open"), "{why}");
    let refused = copy(&target.url, &source.url).await;
    assert!(matches!(refused, Err(CopyError::Engines)), "{refused:?}");
    let missing = format!("{}-missing", source.url);
    let refused = copy(&missing, &target.url).await;
    assert!(
        matches!(refused, Err(CopyError::Open(OpenError::File { .. }))),
        "{refused:?}"
    );

    let id = target.ready(1, manual()).await;
    let footprint = target.footprint().await;
    let (url, _keeper) = source.close();
    let refused = copy(&url, &target.url).await;
    assert!(
        matches!(refused, Err(CopyError::NotEmpty("deployments"))),
        "{refused:?}"
    );
    assert_eq!(target.footprint().await, footprint);
    assert_eq!(target.get(id).await.status.blue.ready, 1);
}

/// All that can be seen of all deployments.
async fn look(fixture: &Fixture) -> Vec<String> {
    let mut seen = Vec::new();
    let listed = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .list_deployments(DeploymentFilter::default(), None, 100)
        .await;
    for (id, deployment) in listed.expect("they are listed") {
        seen.push(format!("{:?}", deployment.expect("it can be read")));
        seen.push(format!("{:?}", fixture.routes(id).await));
        seen.push(format!("{:?}", fixture.history(id).await));
        let revisions = fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .list_revisions(id, None, 100)
            .await;
        seen.push(format!("{:?}", revisions.expect("they are listed")));
    }
    let open = fixture
        .db
        .open_assignments("g", Projects::All, &AssignmentSelection::All)
        .await;
    seen.push(format!("{:?}", open.expect("they are listed").open));
    let (after, limit) = (None, 100);
    let tables = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .traffic_tables(Tables::All { after, limit }, Projects::All)
        .await;
    seen.push(format!("{:?}", tables.expect("they can be had")));
    seen
}
