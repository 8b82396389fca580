//! What the record says is so: how well a deployment serves, what happened to its routes,
//! and what a deletion waits for.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    Availability, BlockerCode, DeploymentId, IntOrPercent, Lifecycle, Policy, RollingUpdate,
    RouteHealth, RouteId, RouteStatus, Strategy,
};

use super::{
    fixture::{Engine, Fixture, amend, automatic, call, engines, manual, report},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{
    CountBy, DeploymentFilter, HistoryEntry, HistoryOutcome, Operation, RequestContext,
    RouteEffects, StatusReport,
};

/// An entry: its phase, its result, and how often it was seen.
type Line = (Operation, HistoryOutcome, u32);

async fn availability(fixture: &Fixture, id: DeploymentId) -> Option<Availability> {
    fixture.get(id).await.availability
}

/// The history, oldest first.
async fn history(fixture: &Fixture, id: DeploymentId) -> Vec<HistoryEntry> {
    let mut history = fixture.history(id).await;
    history.reverse();
    history
}

fn lines(history: &[HistoryEntry]) -> Vec<Line> {
    let line = |it: &HistoryEntry| (it.phase, it.outcome, it.attempts);
    history.iter().map(line).collect()
}

fn counts(entry: &HistoryEntry) -> (u32, u32, u32) {
    let RouteEffects {
        created,
        promoted,
        drained,
    } = entry.effects;
    (created, promoted, drained)
}

/// Reports that routes ended, in one batch.
async fn fail(fixture: &Fixture, routes: &[RouteId], status: RouteStatus, failure: &str) {
    let failed = |&route: &RouteId| StatusReport {
        failure: failure.to_owned(),
        ..report(route, status)
    };
    let reports = routes.iter().map(failed).collect();
    let results = fixture.db.report_statuses(reports).await.expect("taken");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c1_broken_replicas_of_a_ready_deployment_are_seen_everywhere(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    assert_eq!(
        availability(&fixture, id).await,
        Some(Availability::Available)
    );
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    for (health, seen) in [
        (
            [RouteHealth::Unhealthy, RouteHealth::Healthy],
            Availability::Degraded,
        ),
        ([RouteHealth::Unhealthy; 2], Availability::Unavailable),
        (
            [RouteHealth::Healthy, RouteHealth::Degraded],
            Availability::Degraded,
        ),
        ([RouteHealth::Healthy; 2], Availability::Available),
    ] {
        let before = fixture.get(id).await;
        for (route, health) in routes.iter().zip(health) {
            fixture.health(&[*route], health).await;
        }
        // In the reports' own transactions: no cycle has run.
        let after = fixture.get(id).await;
        assert_eq!(after.state.lifecycle(), Lifecycle::Ready);
        assert_eq!(after.availability, Some(seen));
        assert!(after.sequence > before.sequence, "watches are told");
        let filter = DeploymentFilter {
            availabilities: vec![seen],
            ..DeploymentFilter::default()
        };
        let mut reader = fixture.db.reader().await.expect("a reader");
        let found = reader
            .list_deployments(filter, None, 10)
            .await
            .expect("listed");
        assert_eq!(found.len(), 1, "{seen:?}");
        drop(reader);
        let census = fixture.db.census(CountBy::All).await.expect("counted");
        let [counted] = &census.deployments[..] else {
            panic!("{census:?}");
        };
        assert_eq!((counted.availability, counted.count), (Some(seen), 1));
        invariants::hold(&fixture).await;
    }
}

/// By calls, promotions and roll-backs as well as by reports.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c1_whatever_changes_it_writes_it(#[case] engine: Engine) {
    use Availability::{Available, Degraded, Idle, Unavailable};
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let is = async |seen| {
        assert_eq!(availability(&fixture, id).await, seen);
        invariants::hold(&fixture).await;
    };
    is(Some(Available)).await;
    let blue = fixture.routes(id).await[0].view.id;
    fixture.health(&[blue], RouteHealth::Unhealthy).await;
    is(Some(Degraded)).await;
    fixture
        .db
        .complete_manual_promote(id, None, &call())
        .await
        .expect("promoted");
    is(Some(Available)).await;
    let scale = async |replicas| {
        let change = amend(move |spec| spec.target_replicas = replicas);
        let scaled = fixture.db.update_deployment(id, change, &call()).await;
        scaled.expect("scaled").deployment.availability
    };
    assert_eq!(scale(5).await, Some(Degraded), "the reply says it");
    assert_eq!(scale(0).await, Some(Idle));
    fixture.settle().await;
    is(Some(Idle)).await;
    assert_eq!(scale(1).await, Some(Unavailable));
    is(Some(Unavailable)).await;
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    assert_eq!(deleted.expect("deleted").deployment.availability, None);
    is(None).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c1_counts_are_by_project_where_that_is_wanted(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    fixture.health(&routes[..1], RouteHealth::Unhealthy).await;
    for (by, project) in [(CountBy::All, ""), (CountBy::Project, "p")] {
        let census = fixture.db.census(by).await.expect("counted");
        assert_eq!(census.deployments.len(), 1, "{census:?}");
        assert_eq!(census.deployments[0].project, project);
        let healths: Vec<_> = census
            .routes
            .iter()
            .map(|it| (it.health, it.count))
            .collect();
        assert_eq!(healths.len(), 2, "{census:?}");
        for health in [RouteHealth::Healthy, RouteHealth::Unhealthy] {
            assert!(healths.contains(&(health, 1)), "{healths:?}");
        }
        assert!(census.routes.iter().all(|it| it.project == project));
    }
    // What has ended is no route any more.
    fail(&fixture, &routes, RouteStatus::Terminated, "").await;
    let census = fixture.db.census(CountBy::All).await.expect("counted");
    assert!(census.routes.is_empty(), "{census:?}");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_a_serving_replica_that_dies_is_in_the_history(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, manual()).await;
    let before = history(&fixture, id).await.len();
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    // All of one batch are one entry.
    fail(
        &fixture,
        &routes[..2],
        RouteStatus::Terminated,
        "killed by signal 9",
    )
    .await;
    let entries = history(&fixture, id).await;
    let [failed] = &entries[before..] else {
        panic!("{:?}", &entries[before..]);
    };
    assert_eq!(
        (failed.phase, failed.outcome),
        (Operation::RouteFailed, HistoryOutcome::Failed)
    );
    assert_eq!(
        (failed.count, failed.failure.as_str()),
        (2, "killed by signal 9")
    );
    assert_eq!(failed.revision, fixture.get(id).await.state.current());
    assert_eq!(failed.from, Some(failed.to), "it is no move");
    invariants::hold(&fixture).await;

    fixture.settle().await;
    let entries = history(&fixture, id).await;
    let [_, replaced] = &entries[before..] else {
        panic!("{:?}", &entries[before..]);
    };
    assert_eq!(
        (replaced.phase, replaced.outcome),
        (Operation::RouteReplaced, HistoryOutcome::Waiting)
    );
    assert_eq!((replaced.count, counts(replaced)), (2, (2, 0, 0)));
    assert_eq!(replaced.failure, "killed by signal 9");
    invariants::hold(&fixture).await;
}

/// What its scheduler takes away is replaced, too, and has not failed.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_what_its_scheduler_takes_away_is_replaced_and_no_failure(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let before = history(&fixture, id).await.len();
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    fixture.status(&routes[..1], RouteStatus::Terminating).await;
    fixture.settle().await;
    let entries = history(&fixture, id).await;
    let [replaced] = &entries[before..] else {
        panic!("{:?}", &entries[before..]);
    };
    assert_eq!(replaced.phase, Operation::RouteReplaced);
    assert_eq!((replaced.count, counts(replaced)), (1, (1, 0, 0)));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_a_crash_loop_does_not_fill_the_history(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let before = history(&fixture, id).await.len();
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    fail(&fixture, &routes, RouteStatus::Terminated, "exit status 3").await;
    let (mut failures, mut replacements) = (1, 0);
    for _ in 0..200 {
        // By the back-off: in the end five minutes each.
        time.pass(Duration::from_secs(301)).await;
        fixture.settle().await;
        replacements += 1;
        let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
        assert_eq!(new.len(), 1);
        fail(&fixture, &new, RouteStatus::FailedToStart, "no such file").await;
        failures += 1;
    }
    let entries = history(&fixture, id).await;
    assert_eq!(
        lines(&entries[before..]),
        [
            (Operation::RouteFailed, HistoryOutcome::Failed, failures),
            (
                Operation::RouteReplaced,
                HistoryOutcome::Waiting,
                replacements
            ),
        ]
    );
    let failed = &entries[before];
    assert_eq!(failed.count, failures);
    assert_eq!(failed.failure, "exit status 3", "the first one's");
    assert!(failed.updated_at > failed.created_at);
    assert_eq!(counts(&entries[before + 1]), (replacements, 0, 0));
    invariants::hold(&fixture).await;
}

/// Each did what was asked of it once: what follows does not repeat it.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_only_waits_are_repeated(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let repeated = async || {
        let entries = history(&fixture, id).await;
        let repeated = entries.iter().filter(|it| it.attempts > 1);
        let wrong: Vec<_> = repeated
            .filter(|it| {
                it.outcome != HistoryOutcome::Waiting && it.phase != Operation::RouteFailed
            })
            .map(|it| (it.phase, it.outcome, it.attempts))
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    };
    repeated().await;
    fixture
        .db
        .abort_deployment(id, &call())
        .await
        .expect("aborted");
    let serving = fixture.routes_in(id, RouteStatus::Running).await;
    fail(&fixture, &serving[..1], RouteStatus::Terminated, "").await;
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    repeated().await;
    fixture.deploy(id).await;
    fixture.pause(id, true).await;
    fixture.pause(id, false).await;
    fixture.settle().await;
    let scale = amend(|spec| spec.target_replicas = 4);
    fixture
        .db
        .update_deployment(id, scale, &call())
        .await
        .expect("scaled");
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    repeated().await;
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_a_rollout_says_what_it_did_with_routes(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(3, automatic(Duration::ZERO)).await;
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let entries = history(&fixture, id).await;
    let of = |phase: Operation| entries.iter().filter(move |it| it.phase == phase);
    assert_eq!(
        of(Operation::Create).map(counts).collect::<Vec<_>>(),
        [(3, 0, 0)]
    );
    assert_eq!(
        of(Operation::Activate).map(counts).collect::<Vec<_>>(),
        [(0, 0, 0)]
    );
    assert_eq!(
        of(Operation::Promote).map(counts).collect::<Vec<_>>(),
        [(0, 3, 3)]
    );
    // Between the two a look created green, and waits for it.
    let waits: Vec<_> = of(Operation::Evaluate)
        .filter(|it| it.outcome == HistoryOutcome::Waiting)
        .map(counts)
        .collect();
    assert_eq!(waits, [(3, 0, 0)]);
    invariants::hold(&fixture).await;
}

/// Step by step, and one entry for all of them.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_the_steps_of_a_rolling_update_add_up(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let one = IntOrPercent::Count(1);
    let rolling = Policy {
        strategy: Strategy::Rolling(RollingUpdate {
            max_surge: one,
            max_unavailable: IntOrPercent::Count(0),
        }),
        ..Policy::default()
    };
    let id = fixture.ready(4, rolling).await;
    fixture.deploy(id).await;
    for _ in 0..6 {
        fixture.bring_up(id, RouteHealth::Healthy).await;
    }
    assert_eq!(fixture.get(id).await.state.lifecycle(), Lifecycle::Ready);
    let entries = history(&fixture, id).await;
    let after = entries
        .iter()
        .skip_while(|it| it.phase != Operation::Activate);
    let (created, drained) = after.clone().fold((0, 0), |(created, drained), it| {
        (created + it.effects.created, drained + it.effects.drained)
    });
    assert_eq!((created, drained), (4, 4));
    let waits = after.filter(|it| it.outcome == HistoryOutcome::Waiting);
    assert_eq!(waits.count(), 1, "{:?}", lines(&entries));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c5_a_deletion_says_what_it_waits_for(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let routes = fixture.routes_in(id, RouteStatus::Running).await;
    let silent = RequestContext {
        reason: String::new(),
        ..call()
    };
    let deleted = fixture
        .db
        .delete_deployment(id, &silent)
        .await
        .expect("deleted");
    let says = async |expected: &[&str]| {
        let blockers = fixture.get(id).await.status.blockers;
        let said: Vec<_> = blockers.iter().map(ToString::to_string).collect();
        assert_eq!(said, expected);
        assert!(
            blockers
                .iter()
                .all(|it| it.code() == BlockerCode::Terminating)
        );
    };
    assert_eq!(
        deleted.deployment.status.blockers.len(),
        1,
        "the reply says it"
    );
    says(&["2 routes are still ending"]).await;
    let entries = fixture.history(id).await;
    assert_eq!(entries[0].phase, Operation::Delete);
    assert_eq!(entries[0].reason, "2 routes are still ending");
    assert_eq!(counts(&entries[0]), (0, 0, 2));
    fixture.status(&routes[..1], RouteStatus::Terminated).await;
    fixture.settle().await;
    says(&["1 route is still ending"]).await;
    fixture.status(&routes[1..], RouteStatus::Terminated).await;
    fixture.settle().await;
    says(&[]).await;
    assert_eq!(
        fixture.get(id).await.state.lifecycle(),
        Lifecycle::Destroyed
    );
    invariants::hold(&fixture).await;
}

/// The words of the caller are not replaced.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c5_a_deletion_with_a_reason_keeps_it(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    fixture
        .db
        .delete_deployment(id, &call())
        .await
        .expect("deleted");
    assert_eq!(fixture.history(id).await[0].reason, "a test");
    let blockers = fixture.get(id).await.status.blockers;
    assert_eq!(blockers[0].to_string(), "2 routes are still ending");
}
