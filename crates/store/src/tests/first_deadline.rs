//! A first revision that does not come up in time is recorded as failed, and tried on.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    Availability, DeploymentId, DeploymentState, Policy, RolloutOutcome, RouteHealth, RouteStatus,
};

use super::{
    fixture::{Engine, Fixture, call, engines, manual, report, spec},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{CountBy, HistoryOutcome, LastRollout, Operation, StatusReport};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn its_outcome_is_recorded_with_the_first_failure(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.created(2, hurried()).await;
    fails(&fixture, id).await;
    let before = fixture.get(id).await;
    assert_eq!(before.last_rollout, None);
    assert_eq!(before.deadline_at, Some(before.created_at + TIME));

    time.pass(TIME).await;
    fixture.settle().await;
    let failed = fixture.get(id).await;
    let current = failed.state.current().expect("it has a revision");
    let expected = LastRollout {
        revision: current,
        number: Some(1),
        outcome: RolloutOutcome::Failed,
        is_way_back: false,
        reason: "did not come up within 60 s: 0 of 2 routes are ready; it is tried on".into(),
        failure: "exit status: 3".into(),
        ended_at: Some(before.created_at + TIME),
    };
    assert_eq!(failed.last_rollout, Some(expected.clone()));
    assert_eq!((failed.coming_up, failed.deadline_at), (None, None));
    assert_eq!(failed.availability, Some(Availability::Unavailable));
    assert_eq!(failed.sequence, before.sequence + 1, "one event says so");
    let mut entries = fixture.history(id).await.into_iter();
    let entry =
        entries.find(|it| (it.phase, it.outcome) == (Operation::Evaluate, HistoryOutcome::Failed));
    let entry = entry.expect("it is in the history");
    assert_eq!(
        (entry.reason, entry.failure),
        (expected.reason, expected.failure)
    );
    assert_eq!(first_failed(&fixture).await, 1);

    // Neither time nor another look says it again, and it is tried on.
    time.pass(10 * TIME).await;
    fixture.settle().await;
    let later = fixture.get(id).await;
    assert_eq!(later.last_rollout, failed.last_rollout);
    assert_eq!(later.last_history, failed.last_history);
    invariants::hold(&fixture).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let up = fixture.get(id).await;
    assert!(matches!(up.state, DeploymentState::Ready { .. }));
    let outcome = up.last_rollout.map(|last| last.outcome);
    assert_eq!(outcome, Some(RolloutOutcome::Promoted));
    assert_eq!(first_failed(&fixture).await, 0);
    invariants::hold(&fixture).await;
}

/// A report past the deadline is what the coordinator may see first.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_report_past_the_deadline_leaves_it_due(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.created(2, hurried()).await;
    fixture.settle().await;
    time.pass(2 * TIME).await;
    let routes = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fixture.status(&routes[..1], RouteStatus::Running).await;
    assert_eq!(
        fixture.get(id).await.last_rollout,
        None,
        "a report decides nothing"
    );
    assert_eq!(fixture.pass().await.done, [id]);
    let last = fixture.get(id).await.last_rollout.map(|last| last.outcome);
    assert_eq!(last, Some(RolloutOutcome::Failed));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_its_clock_and_a_fix_starts_it_anew(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.created(1, hurried()).await;
    fixture.settle().await;
    time.pass(TIME / 2).await;
    fixture.pause(id, true).await;
    time.pass(TIME).await;
    fixture.settle().await;
    assert_eq!(fixture.get(id).await.last_rollout, None);
    fixture.pause(id, false).await;
    fixture.settle().await;
    assert_eq!(fixture.pass().await.next, Some(TIME / 2));

    time.pass(TIME / 4).await;
    let fix = fixture.db.create_revision(id, spec(), true, &call()).await;
    fix.expect("nothing serves, so that it replaces the first one");
    fixture.settle().await;
    assert_eq!(
        fixture.pass().await.next,
        Some(TIME),
        "it has the whole time"
    );
    invariants::hold(&fixture).await;
}

async fn fails(fixture: &Fixture, id: DeploymentId) {
    fixture.settle().await;
    let routes = fixture.routes_in(id, RouteStatus::Provisioning).await;
    let reports = routes.into_iter().map(|route| StatusReport {
        failure: "exit status: 3".into(),
        ..report(route, RouteStatus::FailedToStart)
    });
    let results = fixture.db.report_statuses(reports.collect()).await;
    assert!(results.expect("they are taken").iter().all(Result::is_ok));
    fixture.settle().await;
}

async fn first_failed(fixture: &Fixture) -> i64 {
    let census = fixture.db.census(CountBy::All).await;
    census.expect("it is counted").first_failed[0].1
}

fn hurried() -> Policy {
    Policy {
        first_deadline: Some(TIME),
        ..manual()
    }
}

const TIME: Duration = Duration::from_secs(60);
