//! The history tells what happened to routes, and tells nothing twice.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    DeploymentId, IntOrPercent, Lifecycle, Policy, RollingUpdate, RouteHealth, RouteStatus,
    Strategy,
};

use super::{
    super::{
        fixture::{Engine, Fixture, amend, automatic, call, engines, manual},
        invariants,
        virtual_time::VirtualTime,
    },
    counts, fail,
};
use crate::{HistoryEntry, HistoryOutcome, Operation};

/// An entry: its phase, its result, and how often it was seen.
type Line = (Operation, HistoryOutcome, u32);

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
        .abort_deployment(id, None, &call())
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
