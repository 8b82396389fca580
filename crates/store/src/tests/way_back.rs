//! Roll-backs: where they lead, what they begin with, and what they wait for.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{
    BlueGreen, DeploymentId, DeploymentState, Policy, RevisionId, RolloutKind, RolloutOutcome,
    RouteHealth, RouteId, RouteStatus, RouteTraffic, Strategy, SubStep, verbs::ActivateRejection,
};

use super::{
    fixture::{Engine, Fixture, amend, automatic, back_to, call, engines, manual, with_request},
    invariants,
};
use crate::{
    AbortRefusal, NamedRevision, Operation, PromoteRefusal, Retention, RevisionReference,
    RollBackOptions, RollBackRefusal, RolledBack, UnitError,
};

const DELAY: Duration = Duration::from_secs(600);

fn retaining() -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            scale_down_delay: DELAY,
            ..BlueGreen::default()
        }),
        ..Policy::default()
    }
}

fn default() -> RollBackOptions {
    RollBackOptions::default()
}

/// The case of the report: 2 of 4 kept routes are ready when someone rolls back.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a9_the_way_back_begins_with_what_is_kept(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, bad) = promoted(&fixture, 4, retaining()).await;
    let good = fixture.get(id).await.served.last().expect("it served");
    let kept = fixture.routes_of(id, good).await;
    fixture.health(&kept[2..], RouteHealth::Unhealthy).await;
    let serving = active(&fixture, id).await;

    let back = fixture
        .db
        .roll_back_deployment(id, default(), &with_request())
        .await;
    let back = back.expect("nothing is under way");
    assert!(!back.instant);
    assert_eq!(back.kept, kept[..2]);
    assert_eq!(active(&fixture, id).await, serving, "what serves goes on");
    fixture.settle().await;
    let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
    assert_eq!(new.len(), 2, "only what is missing is started");
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let now = fixture.get(id).await;
    assert_eq!(now.state, DeploymentState::Ready { current: good });
    let mut expected = [&kept[..2], &new].concat();
    expected.sort_unstable();
    assert_eq!(active(&fixture, id).await, expected);
    assert_eq!(
        fixture.routes_of(id, bad).await.len(),
        4,
        "kept in their turn"
    );
    invariants::hold(&fixture).await;
}

/// One of them dies while the others start: it is replaced, and that is all.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a9_a_kept_route_that_dies_on_the_way_is_replaced(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = promoted(&fixture, 2, retaining()).await;
    let good = fixture.get(id).await.served.last().expect("it served");
    let kept = fixture.routes_of(id, good).await;
    fixture.health(&kept[..1], RouteHealth::Unhealthy).await;
    let back = fixture
        .db
        .roll_back_deployment(id, default(), &call())
        .await;
    assert_eq!(back.expect("nothing is under way").kept, kept[1..]);
    fixture.settle().await;
    fixture.status(&kept[1..], RouteStatus::Terminated).await;
    fixture.settle().await;
    let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
    assert_eq!(new.len(), 2);
    assert_eq!(fixture.get(id).await.status.green.failed, 0);
    fixture.bring_up(id, RouteHealth::Healthy).await;
    assert_eq!(
        fixture.get(id).await.state,
        DeploymentState::Ready { current: good }
    );
    invariants::hold(&fixture).await;
}

/// The case of the report: a script that rolls back twice does not deploy what was bad.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b2_a_second_roll_back_leads_further_back(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, automatic(Duration::ZERO)).await;
    let first = current(&fixture, id).await;
    let mut served = vec![first];
    for _ in 0..2 {
        served.push(fixture.deploy(id).await);
        fixture.bring_up(id, RouteHealth::Healthy).await;
    }
    let third = served.pop().expect("three were deployed");
    assert_eq!(current(&fixture, id).await, third);
    while let Some(expected) = served.pop() {
        let back = fixture
            .db
            .roll_back_deployment(id, default(), &call())
            .await;
        let back = back.expect("it served").deployment;
        assert_eq!(back.state.deploying(), Some(expected));
        fixture.settle().await;
        fixture.bring_up(id, RouteHealth::Healthy).await;
        assert_eq!(current(&fixture, id).await, expected);
    }
    is_refused(&fixture, id, RollBackRefusal::NoPrevious).await;
    // Forward again it goes by name, and from there back to what served then.
    let forward = fixture
        .db
        .activate_revision(id, third, false, &call())
        .await;
    forward.expect("it is there");
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let served: Vec<_> = fixture.get(id).await.served.iter().collect();
    assert_eq!(served, [first]);
    invariants::hold(&fixture).await;
}

/// The sibling: version 3 went back by itself, and the pipeline rolls back as well.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b2_after_a_rollout_that_went_back_the_default_is_refused(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, second) = promoted(&fixture, 1, manual()).await;
    let refusal = RollBackRefusal::AlreadyRolledBack {
        left: Some(3),
        current: Some(2),
    };
    fixture.deploy(id).await;
    let new = fixture.routes_in(id, RouteStatus::Provisioning).await;
    fixture.status(&new, RouteStatus::FailedToStart).await;
    fixture.settle().await;
    assert_eq!(current(&fixture, id).await, second);
    is_refused(&fixture, id, refusal).await;
    // Whoever names a revision means it, and an abort of that is no reason to refuse.
    let first = fixture.get(id).await.served.last().expect("it served");
    let back = fixture
        .db
        .roll_back_deployment(id, back_to(first), &call())
        .await;
    back.expect("it is named");
    fixture.settle().await;
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    let last = aborted.expect("it is under way").deployment.last_rollout;
    let last = last.expect("it was aborted");
    assert!(last.is_way_back && last.outcome == RolloutOutcome::Aborted);
    let again = fixture
        .db
        .roll_back_deployment(id, default(), &call())
        .await;
    assert_eq!(
        again.expect("2 is to be left").deployment.state.deploying(),
        Some(first)
    );
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;

    // An abort is refused like that, too, until the next promotion.
    let (id, _) = promoted(&fixture, 1, manual()).await;
    fixture.deploy(id).await;
    let aborted = fixture.db.abort_deployment(id, None, &call()).await;
    aborted.expect("it is under way");
    is_refused(&fixture, id, refusal).await;
    fixture.settle().await;
    promote_another(&fixture, id).await;
    let back = fixture
        .db
        .roll_back_deployment(id, default(), &call())
        .await;
    let back = back.expect("a promotion ends it").deployment;
    assert_eq!(back.numbers.deploying, Some(2));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b2_what_is_acted_on_is_what_the_caller_saw(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, second) = promoted(&fixture, 1, retaining()).await;
    let first = fixture.get(id).await.served.last().expect("it served");
    let before = fixture.footprint().await;
    let expecting = |revision| RollBackOptions {
        expected_revision: Some(revision),
        ..default()
    };
    let stale = fixture
        .db
        .roll_back_deployment(id, expecting(first), &call())
        .await;
    let refusal = RollBackRefusal::Revision {
        expected: first,
        actual: Some(NamedRevision {
            id: second,
            number: Some(2),
        }),
    };
    assert_eq!(refused(stale), refusal);
    assert_eq!(fixture.footprint().await, before);
    let back = fixture
        .db
        .roll_back_deployment(id, expecting(second), &call())
        .await;
    assert!(back.expect("it serves").instant);

    let third = fixture.deploy(id).await;
    let stale = fixture.db.abort_deployment(id, Some(second), &call()).await;
    let refusal = AbortRefusal::Revision {
        expected: second,
        actual: NamedRevision {
            id: third,
            number: Some(3),
        },
    };
    assert!(matches!(stale, Err(UnitError::Refused(it)) if it == refusal));
    let aborted = fixture.db.abort_deployment(id, Some(third), &call()).await;
    aborted.expect("it is being deployed");
    let gone = fixture.db.abort_deployment(id, Some(third), &call()).await;
    assert!(matches!(
        gone,
        Err(UnitError::Refused(AbortRefusal::Rules(_)))
    ));
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    deleted.expect("it is there");
    let gone = fixture
        .db
        .roll_back_deployment(id, expecting(second), &call())
        .await;
    let rules = refused(gone);
    assert!(
        matches!(rules, RollBackRefusal::Rules(ActivateRejection::Gone(_))),
        "that it is gone says more: {rules:?}"
    );
    invariants::hold(&fixture).await;
}

/// A pruned revision is no place to go back to.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b2_pruned_revisions_leave_the_stack(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = promoted(&fixture, 1, manual()).await;
    for _ in 0..3 {
        fixture.settle().await;
        promote_another(&fixture, id).await;
    }
    let before: Vec<_> = fixture.get(id).await.served.iter().collect();
    assert_eq!(before.len(), 4);
    let limit = amend(|spec| spec.revision_history_limit = 1);
    let limited = fixture.db.update_deployment(id, limit, &call()).await;
    limited.expect("it is changed");
    for route in fixture.routes_in(id, RouteStatus::Terminating).await {
        fixture.status(&[route], RouteStatus::Terminated).await;
    }
    let now = fixture.db.now().await.expect("the time");
    let later = now + Duration::from_secs(2 * 24 * 60 * 60);
    let pruned = fixture.db.prune_as_of(&Retention::default(), later).await;
    assert_eq!(pruned.expect("it prunes").revisions, 3);
    let after: Vec<_> = fixture.get(id).await.served.iter().collect();
    assert_eq!(after, before[3..], "the last one stays, whatever its age");
    let mut reader = fixture.db.reader().await.expect("a reader");
    let reference = RevisionReference::Id(before[0]);
    let oldest = reader.find_revision(id, reference).await;
    assert_eq!(oldest.expect("it is read"), None);
    drop(reader);
    invariants::hold(&fixture).await;
}

/// The case of the report: a roll-back under the default policy serves by itself.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b3_the_way_back_needs_nobody_also_after_a_restart(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = promoted(&fixture, 2, manual()).await;
    let good = fixture.get(id).await.served.last().expect("it served");
    let back = fixture
        .db
        .roll_back_deployment(id, default(), &call())
        .await;
    assert_eq!(back.expect("it served").deployment.numbers.current, Some(2));
    let fixture = Fixture::reopen(fixture.close()).await;
    let kind = fixture.get(id).await.state.rollout().map(|it| it.kind);
    assert_eq!(kind, Some(RolloutKind::Back { gated: false }));
    fixture.settle().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let now = fixture.get(id).await;
    assert_eq!(now.state, DeploymentState::Ready { current: good });
    let last = now.last_rollout.expect("it is back");
    assert_eq!(last.reason, "2 routes of the earlier revision are ready");
    let phases: Vec<_> = fixture
        .history(id)
        .await
        .iter()
        .map(|it| it.phase)
        .filter(|phase| *phase != Operation::Evaluate)
        .collect();
    assert_eq!(phases[..2], [Operation::Promote, Operation::RollBack]);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b3_a_gated_way_back_waits_for_its_promotion(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, bad) = promoted(&fixture, 2, retaining()).await;
    let gated = RollBackOptions {
        gated: true,
        ..default()
    };
    let back = fixture.db.roll_back_deployment(id, gated, &call()).await;
    let back = back.expect("all are kept");
    assert!(!back.instant, "someone wants to look first");
    assert_eq!(back.kept.len(), 2);
    fixture.settle().await;
    let gate = fixture.get(id).await;
    assert_eq!(gate.state.sub_step(), Some(SubStep::AwaitingPromotion));
    assert_eq!(gate.state.current(), Some(bad), "it still serves");
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    assert_eq!(promoted.expect("all are ready").promoted.len(), 2);
    assert!(fixture.get(id).await.served.is_empty(), "it was a way back");
    invariants::hold(&fixture).await;
}

/// A dry run is the same call, and changes nothing.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b3_a_preview_says_what_would_be_done(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = promoted(&fixture, 2, retaining()).await;
    let good = fixture.get(id).await.served.last().expect("it served");
    let kept = fixture.routes_of(id, good).await;
    let before = (fixture.footprint().await, fixture.get(id).await);
    let preview = async |options| {
        let request = with_request();
        let preview = fixture.db.preview_roll_back(id, options, &request);
        preview.await.expect("it served")
    };
    let at_once = preview(default()).await;
    assert_eq!((at_once.revision, at_once.number), (good, 1));
    assert!(at_once.instant && at_once.blockers.is_empty());
    assert_eq!(at_once.kept, kept);
    let gated = preview(RollBackOptions {
        gated: true,
        ..default()
    });
    assert!(!gated.await.instant);
    assert_eq!((fixture.footprint().await, fixture.get(id).await), before);

    fixture.health(&kept[1..], RouteHealth::Unhealthy).await;
    let by_rollout = preview(default()).await;
    assert!(!by_rollout.instant);
    assert_eq!(by_rollout.kept, kept[..1]);
    assert!(!by_rollout.blockers.is_empty(), "one has yet to start");
    let request = call();
    let unknown = fixture
        .db
        .preview_roll_back(id, back_to(RevisionId(id.0)), &request);
    let unknown = unknown.await.expect_err("there is none");
    assert!(matches!(
        unknown,
        UnitError::Refused(RollBackRefusal::NoRevision(_))
    ));
    invariants::hold(&fixture).await;
}

/// Of several callers one goes back; the others find that something is under way, that
/// another revision serves, or that nothing served before.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b2_of_several_roll_backs_and_promotions_one_takes_place(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    for round in 0..20 {
        let policy = if round % 2 == 0 {
            retaining()
        } else {
            manual()
        };
        let (id, second) = promoted(&fixture, 1, policy).await;
        let options = RollBackOptions {
            expected_revision: Some(second),
            ..default()
        };
        let backs = (0..3).map(|_| {
            let db = fixture.db.clone();
            tokio::spawn(async move { db.roll_back_deployment(id, options, &call()).await.is_ok() })
        });
        let backs: Vec<_> = backs.collect();
        let db = fixture.db.clone();
        let promoted = tokio::spawn(async move {
            let promoted = db.complete_manual_promote(id, Some(second), &call()).await;
            matches!(
                promoted,
                Err(UnitError::Refused(
                    PromoteRefusal::Rules(_) | PromoteRefusal::Revision { .. }
                ))
            )
        });
        let mut winners = 0;
        for back in backs {
            winners += u32::from(back.await.expect("it ends"));
        }
        assert_eq!(winners, 1, "round {round}");
        assert!(promoted.await.expect("it ends"), "2 is not on its way");
    }
    invariants::hold(&fixture).await;
}

/// A deployment whose second revision was promoted over the first.
async fn promoted(fixture: &Fixture, n: u32, policy: Policy) -> (DeploymentId, RevisionId) {
    let (id, revision) = fixture.at_the_gate(n, policy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is at the gate");
    fixture.settle().await;
    (id, revision)
}

async fn promote_another(fixture: &Fixture, id: DeploymentId) {
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is at the gate");
}

async fn current(fixture: &Fixture, id: DeploymentId) -> RevisionId {
    let state = fixture.get(id).await.state;
    state.current().expect("a revision serves")
}

/// The routes with traffic, in the order of their ids.
async fn active(fixture: &Fixture, id: DeploymentId) -> Vec<RouteId> {
    let routes = fixture.routes(id).await;
    let active = routes.iter().map(|route| &route.view);
    let active = active.filter(|view| view.traffic == RouteTraffic::Active);
    let mut ids: Vec<_> = active.map(|view| view.id).collect();
    ids.sort_unstable();
    ids
}

fn refused(result: Result<RolledBack, UnitError<RollBackRefusal>>) -> RollBackRefusal {
    match result {
        Err(UnitError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

async fn is_refused(fixture: &Fixture, id: DeploymentId, expected: RollBackRefusal) {
    let before = fixture.footprint().await;
    let result = fixture
        .db
        .roll_back_deployment(id, default(), &call())
        .await;
    assert_eq!(refused(result), expected);
    assert_eq!(fixture.footprint().await, before);
}
