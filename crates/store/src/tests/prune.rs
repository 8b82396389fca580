//! What is forgotten, and what is still needed and stays.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlueGreen, DeploymentId, DeploymentState, Policy, RouteHealth, RouteStatus, Strategy,
};

use super::{
    fixture::{Engine, Fixture, amend, call, engines, find_deployment, manual, spec, with_request},
    invariants,
};
use crate::{ActivateRefusal, Pruned, Retention, RevisionReference, RollBackOptions, UnitError};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_new_goes(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.at_the_gate(2, manual()).await;
    let before = fixture.footprint().await;
    let pruned = fixture.db.prune(&Retention::default()).await;
    assert_eq!(pruned.expect("it prunes"), Pruned::default());
    assert_eq!(fixture.footprint().await, before);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_within_a_day_gets_the_first_reply(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let call = with_request();
    let first = fixture.db.pause_deployment(id, &call).await;
    let first = first.expect("it is paused").deployment;
    assert_eq!(prune(&fixture, DAY - HOUR).await.replies, 0);
    let again = fixture.db.pause_deployment(id, &call).await;
    assert_eq!(again.expect("a repeat").deployment, first);

    assert_eq!(prune(&fixture, DAY + HOUR).await.replies, 1);
    let again = fixture.db.pause_deployment(id, &call).await;
    assert!(matches!(again, Err(UnitError::Refused(_))), "{again:?}");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn old_events_go_but_for_the_last(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let sequence = fixture.get(id).await.sequence;
    // One in the middle is younger: it does not leave a gap behind it.
    let now = fixture.db.now().await.expect("the time");
    fixture
        .tamper(&format!(
            "UPDATE events SET created_at = '{}' WHERE sequence = 3",
            now + 2 * DAY
        ))
        .await
        .expect("it is tampered with");
    let pruned = prune(&fixture, 8 * DAY).await.events;
    assert_eq!(i64::try_from(pruned).expect("a count"), sequence - 1);
    assert_eq!(fixture.number("SELECT COUNT(*) AS n FROM events").await, 1);
    invariants::hold(&fixture).await;

    // And it goes on from there.
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is promoted");
    fixture.settle().await;
    assert!(fixture.number("SELECT COUNT(*) AS n FROM events").await > 1);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn history_goes_by_age_and_by_count(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(0, manual()).await;
    // More than two batches beyond the newest 1,000.
    let more = 2_101_i64;
    let last = fixture.get(id).await.last_history;
    fixture
        .tamper(&repeat_last_move(last, more))
        .await
        .expect("there are more");
    invariants::hold(&fixture).await;

    assert_eq!(prune(&fixture, 89 * DAY).await.history, 0, "they are young");
    let pruned = prune(&fixture, 91 * DAY).await.history;
    assert_eq!(i64::try_from(pruned).expect("a count"), last + more - 1_000);
    let kept = fixture.history(id).await;
    assert_eq!(kept.len(), 1_000);
    assert_eq!(kept.first().map(|entry| entry.number), Some(last + more));
    invariants::hold(&fixture).await;

    fixture.pause(id, true).await;
    assert_eq!(fixture.get(id).await.last_history, last + more + 1);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn routes_that_a_decision_needs_stay(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let first = fixture.routes_in(id, RouteStatus::Running).await;
    fixture.status(&first[..1], RouteStatus::Terminated).await;
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(fixture.get(id).await.status.blue.failed, 1);
    let counted = fixture.get(id).await.status;
    assert_eq!(
        prune(&fixture, 2 * DAY).await.routes,
        0,
        "it failed since the activation"
    );

    // What is drained goes, once it is over and old; the failure goes with its
    // revision's time.
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let drained = promoted.expect("it is promoted").drained;
    fixture.settle().await;
    assert_eq!(
        prune(&fixture, 2 * DAY).await.routes,
        1,
        "only the failure is over"
    );
    fixture.status(&drained, RouteStatus::Terminated).await;
    fixture.settle().await;
    assert_eq!(
        prune(&fixture, DAY - HOUR).await.routes,
        0,
        "they are young"
    );
    let before = fixture.get(id).await;
    assert_eq!(prune(&fixture, 2 * DAY).await.routes, 2);
    assert_eq!(fixture.get(id).await, before, "nobody can tell");
    assert_eq!(before.status.blue.ready, counted.blue.ready);
    assert_eq!(fixture.routes(id).await.len(), 2);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn routes_of_a_table_larger_than_a_batch_all_go(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1_000, manual()).await;
    let update = amend(move |it| it.target_replicas = 0);
    let updated = fixture.db.update_deployment(id, update, &call()).await;
    updated.expect("it is updated");
    fixture.settle().await;
    let drained = fixture.routes_in(id, RouteStatus::Terminating).await;
    fixture.status(&drained, RouteStatus::Terminated).await;
    fixture.settle().await;
    assert_eq!(prune(&fixture, 2 * DAY).await.routes, 1_000);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn revisions_beyond_the_limit_go(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    limit_revisions(&fixture, id, 2).await;
    for _ in 0..4 {
        promote_another(&fixture, id).await;
    }
    // Five: 5 is current and 4 the one before. 3 and lower are beyond the limit.
    let oldest = revision(&fixture, id, 1).await.expect("it is there");
    assert_eq!(
        prune(&fixture, DAY - HOUR).await.revisions,
        0,
        "their routes are young"
    );
    assert_eq!(prune(&fixture, 2 * DAY).await.revisions, 3);
    invariants::hold(&fixture).await;
    for (number, there) in [(1, false), (2, false), (3, false), (4, true), (5, true)] {
        assert_eq!(
            revision(&fixture, id, number).await.is_some(),
            there,
            "{number}"
        );
    }
    let gone = fixture
        .db
        .activate_revision(id, oldest, false, &call())
        .await;
    assert!(matches!(
        gone,
        Err(UnitError::Refused(ActivateRefusal::NoRevision(id))) if id == oldest
    ));

    // It still goes back to the one before, and on from there.
    let back = fixture
        .db
        .roll_back_deployment(id, RollBackOptions::default(), &call())
        .await;
    assert!(!back.expect("it goes back").instant);
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let current = fixture.get(id).await.state.current();
    assert_eq!(current, revision(&fixture, id, 4).await);
    promote_another(&fixture, id).await;
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_are_named_or_in_use_stay(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let spec_with_delay = BlueGreen {
        scale_down_delay: DAY,
        ..BlueGreen::default()
    };
    let retaining = Policy {
        strategy: Strategy::BlueGreen(spec_with_delay),
        ..Policy::default()
    };
    let id = fixture.ready(1, retaining).await;
    limit_revisions(&fixture, id, 1).await;
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is promoted");
    fixture.settle().await;
    // 1 is retained, and the one before; 2 is current; 3 and 4 were never run.
    for _ in 0..2 {
        let created = fixture.db.create_revision(id, spec(), false, &call()).await;
        created.expect("it is recorded");
    }
    assert_eq!(prune(&fixture, 2 * DAY).await.revisions, 1);
    // Not named any more, but its route still runs.
    fixture
        .tamper("UPDATE deployments SET previous_revision_id = NULL, served = '[]'")
        .await
        .expect("it is tampered with");
    assert_eq!(prune(&fixture, 2 * DAY).await.revisions, 0);
    for (number, there) in [(1, true), (2, true), (3, false), (4, true)] {
        assert_eq!(
            revision(&fixture, id, number).await.is_some(),
            there,
            "{number}"
        );
    }
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_goes_with_all_that_was_its_own(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let kept = fixture.ready(1, manual()).await;
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    deleted.expect("it is deleted");
    fixture.settle().await;
    assert_eq!(
        prune(&fixture, 31 * DAY).await.deployments,
        0,
        "it is not over"
    );
    let ending = fixture.routes_in(id, RouteStatus::Terminating).await;
    fixture.status(&ending, RouteStatus::Terminated).await;
    fixture.settle().await;
    assert!(matches!(
        fixture.get(id).await.state,
        DeploymentState::Destroyed { .. }
    ));

    assert_eq!(prune(&fixture, 29 * DAY).await.deployments, 0);
    assert_eq!(fixture.get(id).await.id, id, "it can still be read");
    assert_eq!(prune(&fixture, 31 * DAY).await.deployments, 1);
    let found = find_deployment(&fixture.db, id).await.expect("it is read");
    assert_eq!(found, None);
    assert_eq!(fixture.get(kept).await.id, kept);
    for table in ["routes", "revisions", "history", "events"] {
        let others = format!(
            "SELECT COUNT(*) AS n FROM {table} \
             WHERE deployment_id NOT IN (SELECT id FROM deployments)"
        );
        assert_eq!(fixture.number(&others).await, 0, "{table}");
    }
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_cannot_be_read_holds_up_no_other(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let broken = fixture.ready(0, manual()).await;
    let sound = fixture.ready(0, manual()).await;
    for id in [broken, sound] {
        limit_revisions(&fixture, id, 1).await;
        for _ in 0..2 {
            let created = fixture.db.create_revision(id, spec(), false, &call()).await;
            created.expect("it is recorded");
        }
    }
    let name = fixture.get(broken).await.name;
    fixture
        .tamper(&format!(
            "UPDATE deployments SET policy = '{{\"nonsense\": 1}}' WHERE name = '{name}'"
        ))
        .await
        .expect("it is tampered with");
    assert_eq!(prune(&fixture, 2 * DAY).await.revisions, 1);
}

/// Prunes as if so much time had gone by.
async fn prune(fixture: &Fixture, later: Duration) -> Pruned {
    let now = fixture.db.now().await.expect("the time") + later;
    let pruned = fixture.db.prune_as_of(&Retention::default(), now).await;
    pruned.expect("it prunes")
}

async fn limit_revisions(fixture: &Fixture, id: DeploymentId, limit: u32) {
    let update = amend(move |it| it.revision_history_limit = limit);
    let updated = fixture.db.update_deployment(id, update, &call()).await;
    updated.expect("it is updated");
    fixture.settle().await;
}

/// Promotes a new revision and has the old one's routes end.
async fn promote_another(fixture: &Fixture, id: DeploymentId) {
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let drained = promoted.expect("it is promoted").drained;
    fixture.status(&drained, RouteStatus::Terminated).await;
    fixture.settle().await;
}

async fn revision(
    fixture: &Fixture,
    id: DeploymentId,
    number: i64,
) -> Option<viridian_strategy::RevisionId> {
    let reference = RevisionReference::Number(number);
    let found = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .find_revision(id, reference)
        .await;
    found.expect("it is read").map(|revision| revision.id)
}

/// The last move so many times more, as updates are.
fn repeat_last_move(last: i64, more: i64) -> String {
    format!(
        "INSERT INTO history (deployment_id, number, phase, result, from_lifecycle, from_sub_step, \
         to_lifecycle, to_sub_step, revision_id, actor, reason, request_id, status, attempts, \
         created_at, updated_at) SELECT deployment_id, number + i, 'UPDATE', result, to_lifecycle, \
         to_sub_step, to_lifecycle, to_sub_step, revision_id, actor, reason, request_id, status, \
         attempts, created_at, updated_at FROM history, \
         (WITH RECURSIVE counted (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < {more}) \
         SELECT i FROM counted) AS more WHERE number = {last}; \
         UPDATE deployments SET last_history = last_history + {more}"
    )
}
