//! How the last rollout came out stays on the deployment, in its events and in its row.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlueGreen, DeploymentId, Policy, RevisionId, RollingUpdate, RolloutOutcome, RouteHealth,
    RouteStatus, Strategy,
};

use super::{
    fixture::{Engine, Fixture, amend, automatic, call, engines, manual, report, spec},
    invariants,
};
use crate::{EventFilter, LastRollout, RevisionNumbers, RollBackOptions, StatusReport};

/// The case of the report: every route of a new version exits with a status.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c2_what_failed_stays_on_the_deployment_until_the_next_rollout_ends(
    #[case] engine: Engine,
) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let first = fixture.get(id).await;
    let of_first = first.last_rollout.clone().expect("it came up");
    assert_eq!(of_first.outcome, RolloutOutcome::Promoted);
    assert_eq!(of_first.reason, "2 routes are ready");

    let bad = fixture.deploy(id).await;
    fails(&fixture, id, bad).await;
    let back = fixture.get(id).await;
    let last = back.last_rollout.clone().expect("it was given up");
    let expected = LastRollout {
        revision: bad,
        number: Some(2),
        outcome: RolloutOutcome::RolledBack,
        is_way_back: false,
        reason: "no green route is left: 2 failed".into(),
        failure: "exit status: 3".into(),
        ended_at: Some(back.phase_started_at),
    };
    assert_eq!(last, expected);
    assert_eq!(back.state.current(), first.state.current());
    assert_eq!(
        shown(&fixture, id).await,
        Some(expected.clone()),
        "events carry it"
    );

    // Neither a change of the target nor the start of the next rollout touches it.
    let more = amend(|spec| spec.target_replicas = 3);
    let more = fixture.db.update_deployment(id, more, &call()).await;
    let more = more.expect("it is changed").deployment;
    assert_eq!(more.last_rollout, Some(expected.clone()));
    fixture.bring_up(id, RouteHealth::Healthy).await;
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(fixture.get(id).await.last_rollout, Some(expected));

    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promoted = promoted.expect("it is at the gate").deployment;
    let last = promoted.last_rollout.expect("it was promoted");
    assert_eq!(
        (last.number, last.outcome),
        (Some(3), RolloutOutcome::Promoted)
    );
    assert_eq!(last.reason, "promoted by tester: a test");
    assert_eq!(last.failure, "");
    invariants::hold(&fixture).await;
}

/// Whoever ends a rollout, and however: the record says which revision, how, and why.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c2_each_outcome_has_its_reason(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let said = async |id| {
        let last = fixture.get(id).await.last_rollout.expect("a rollout ended");
        (
            last.number,
            last.outcome.as_str(),
            last.reason,
            last.failure,
        )
    };

    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let third = fixture.db.create_revision(id, spec(), false, &call()).await;
    let third = third.expect("it is recorded").revision.id;
    let superseded = fixture.db.activate_revision(id, third, true, &call()).await;
    superseded.expect("it supersedes");
    let expected = (
        Some(2),
        "SUPERSEDED",
        "superseded by revision 3: a test".into(),
        String::new(),
    );
    assert_eq!(said(id).await, expected);

    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Unhealthy).await;
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    aborted.expect("it is under way");
    let expected = (
        Some(3),
        "ABORTED",
        "aborted by tester: a test".into(),
        "a route is UNHEALTHY".into(),
    );
    assert_eq!(said(id).await, expected);

    let alone = fixture.ready(1, automatic(Duration::ZERO)).await;
    fixture.deploy(alone).await;
    fixture.bring_up(alone, RouteHealth::Healthy).await;
    let expected = (
        Some(2),
        "PROMOTED",
        "1 green route is ready; every gate is open".into(),
        String::new(),
    );
    assert_eq!(said(alone).await, expected);

    let (deleted, _) = fixture.at_the_gate(1, manual()).await;
    let gone = fixture.db.delete_deployment(deleted, &call()).await;
    gone.expect("it is there");
    let expected = (
        Some(2),
        "ABORTED",
        "the deployment was deleted by tester: a test".into(),
        String::new(),
    );
    assert_eq!(said(deleted).await, expected);
    invariants::hold(&fixture).await;
}

/// A rolling update takes its time on the way back: what turned it stays what is said.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c2_a_rolling_update_says_it_at_the_turn_and_ends_when_it_is_back(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let policy = Policy {
        strategy: Strategy::Rolling(RollingUpdate::default()),
        ..Policy::default()
    };
    let id = fixture.ready(2, policy).await;
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    let aborted = aborted.expect("it is under way").deployment;
    let at_the_turn = aborted.last_rollout.expect("it was aborted");
    assert_eq!(at_the_turn.outcome, RolloutOutcome::Aborted);
    assert_eq!(at_the_turn.ended_at, None);
    for _ in 0..4 {
        fixture.settle().await;
        fixture.bring_up(id, RouteHealth::Healthy).await;
    }
    let back = fixture.get(id).await;
    assert_eq!(back.state.deploying(), None);
    let expected = LastRollout {
        ended_at: Some(back.phase_started_at),
        ..at_the_turn
    };
    assert_eq!(back.last_rollout, Some(expected));
    invariants::hold(&fixture).await;
}

/// People know a revision by its number, and a roll-back by how long it is instant.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c2_the_numbers_follow_the_revisions_and_the_kept_routes_have_an_end(
    #[case] engine: Engine,
) {
    let fixture = Fixture::new(engine).await;
    let delay = Duration::from_secs(600);
    let retaining = Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            scale_down_delay: delay,
            ..BlueGreen::default()
        }),
        ..Policy::default()
    };
    let numbers = async |id| {
        let RevisionNumbers { current, deploying } = fixture.get(id).await.numbers;
        (current, deploying)
    };
    let (id, _) = fixture.at_the_gate(2, retaining).await;
    assert_eq!(numbers(id).await, (Some(1), Some(2)));
    assert_eq!(fixture.get(id).await.status.retained_until, None);
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promoted = promoted.expect("it is at the gate").deployment;
    assert_eq!(numbers(id).await, (Some(2), None));
    let promoted_at = promoted.promoted_at.expect("it was promoted");
    assert_eq!(promoted.status.retained_until, Some(promoted_at + delay));
    fixture.pause(id, true).await;
    assert_eq!(
        fixture.get(id).await.status.retained_until,
        None,
        "a pause keeps them"
    );
    fixture.pause(id, false).await;

    let back = fixture
        .db
        .roll_back_deployment(id, RollBackOptions::default(), &call())
        .await;
    let back = back.expect("they are kept").deployment;
    assert_eq!(numbers(id).await, (Some(1), None));
    assert_eq!(back.status.retained_until, None);
    let last = back.last_rollout.expect("it is back");
    assert_eq!(
        (last.number, last.outcome),
        (Some(1), RolloutOutcome::Promoted)
    );
    assert_eq!(last.reason, "2 kept routes took the traffic back: a test");
    invariants::hold(&fixture).await;
}

/// Reports that all routes of a revision failed, as a scheduler does.
async fn fails(fixture: &Fixture, id: DeploymentId, revision: RevisionId) {
    let routes = fixture.routes_of(id, revision).await;
    let reports = routes.into_iter().map(|route| StatusReport {
        failure: "exit status: 3".into(),
        ..report(route, RouteStatus::FailedToStart)
    });
    let results = fixture.db.report_statuses(reports.collect()).await;
    let results = results.expect("the reports are taken");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    fixture.settle().await;
}

/// What the newest event of a deployment has of its last rollout.
async fn shown(fixture: &Fixture, id: DeploymentId) -> Option<LastRollout> {
    let filter = EventFilter {
        deployments: vec![id],
        projects: Vec::new(),
    };
    let mut reader = fixture.db.reader().await.expect("a reader");
    let events = reader.list_events(&filter, 0, i64::MAX, 1_000).await;
    let events = events.expect("they are read");
    let last = events.last().expect("there are some");
    let event = last.event.as_ref().expect("it parses");
    event.deployment.last_rollout.clone()
}
