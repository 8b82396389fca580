//! The switch of all traffic.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rstest::rstest;
use rstest_reuse::apply;
use viridian_strategy::{
    Availability, BlockerCode, DeploymentState, IntOrPercent, Policy, RouteHealth, RouteStatus,
    RouteTraffic, SubStep, Timestamp,
    verbs::{self, PromoteRejection},
};

use super::{
    fixture::{Engine, Fixture, blue_green, call, colours, engines, manual},
    invariants,
};
use crate::{
    Action, AssignmentSelection, Projects, PromoteRefusal, RequestContext, StoreError, Tables,
    UnitError,
    record::{EventKind, Operation},
    transaction::UnitTransaction,
    units::testing::{PlannedChange, RowWrite},
};

/// As many as a statement is about on SQLite, one more, and some of each.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_switched(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(4, 17, 21)] n: u32,
) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(n, manual()).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promoted = promoted.expect("it is promoted");
    let n = n as usize;
    assert_eq!((promoted.promoted.len(), promoted.drained.len()), (n, n));
    for route in fixture.routes(id).await {
        let view = route.view;
        let expected = if view.revision == green {
            (RouteStatus::Running, RouteTraffic::Active)
        } else {
            (RouteStatus::Terminating, RouteTraffic::Inactive)
        };
        assert_eq!((view.status, view.traffic), expected);
    }
    let stops = "SELECT COUNT(*) AS n FROM assignments WHERE action = 'STOP'";
    assert_eq!(fixture.number(stops).await, n as i64);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn of_64_callers_one_promotes(#[case] engine: Engine) {
    let fixture = Arc::new(Fixture::new(engine).await);
    let (id, green) = fixture.at_the_gate(3, manual()).await;
    let before = fixture.get(id).await;
    let blue = before.state.current().expect("blue");
    let over = Arc::new(AtomicBool::new(false));
    let watching = tokio::spawn({
        let (fixture, over) = (Arc::clone(&fixture), Arc::clone(&over));
        async move {
            let mut looks = 0_u32;
            while !over.load(Ordering::Acquire) {
                let routes = fixture.routes(id).await;
                let active = routes
                    .iter()
                    .filter(|r| r.view.traffic == RouteTraffic::Active)
                    .count();
                assert_eq!(colours(&routes).len(), 1, "colours are mixed");
                assert_eq!(active, 3);
                looks += 1;
            }
            looks
        }
    });
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move { fixture.db.complete_manual_promote(id, None, &call()).await })
        })
        .collect();
    let mut winners = Vec::new();
    for caller in callers {
        match caller.await.expect("no panic") {
            Ok(promotion) => winners.push(promotion),
            Err(UnitError::Refused(PromoteRefusal::Rules(PromoteRejection::NotDeploying(_)))) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    over.store(true, Ordering::Release);
    assert!(watching.await.expect("no panic") > 0);

    let [promotion] = winners.as_slice() else {
        panic!("{} winners", winners.len())
    };
    assert_eq!(promotion.swapped, 1);
    assert_eq!(promotion.promoted, fixture.routes_of(id, green).await);
    assert_eq!(promotion.drained, fixture.routes_of(id, blue).await);
    let after = fixture.get(id).await;
    assert_eq!(after.state, DeploymentState::Ready { current: green });
    assert_eq!(after.state.sub_step(), None);
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(after.epoch, before.epoch + 1);
    assert_eq!(
        fixture.routes_in(id, RouteStatus::Terminating).await,
        promotion.drained
    );
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM history WHERE phase = 'PROMOTE'")
            .await,
        1
    );
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_it_comes_to_is_a_value_until_it_is_carried_out(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    let before = fixture.get(id).await;
    let blue = before.state.current().expect("blue");
    let footprint = fixture.footprint().await;
    let change = fixture
        .db
        .write(async |tx: &mut UnitTransaction| {
            let held = tx.lock(id).await?.expect("it is there");
            let promoted = held.decide(verbs::promote).expect("it may be promoted");
            let plan = PlannedChange::of_call(promoted, Operation::Promote);
            Ok::<_, StoreError>(held.write_set(&plan, &call()))
        })
        .await
        .expect("it is decided");
    assert_eq!(change.routes.promoted, fixture.routes_of(id, green).await);
    assert_eq!(change.routes.drained, fixture.routes_of(id, blue).await);
    assert_eq!(change.routes.assigned.len(), 2, "blue is to be stopped");
    let Some(RowWrite::Update(state)) = change.row else {
        panic!("its row changes: {:?}", change.row);
    };
    assert_eq!(state.sequence, before.sequence, "what it was decided on");
    assert_eq!(state.deployment, change.deployment);
    assert_eq!(change.deployment.sequence, before.sequence + 1);
    let numbers: Vec<_> = change.moves.iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, [before.last_history + 1]);
    assert_eq!(change.event, Some(EventKind::Promoted));
    let touched = change.touched.expect("others are told");
    assert_eq!(touched.epoch, Some(before.epoch + 1));
    assert_eq!(fixture.footprint().await, footprint, "nothing is written");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_matches_no_row_touches_no_route(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(3, manual()).await;
    // A decision on rows of another transaction: since then a report has come.
    let stale = fixture
        .db
        .write(async |tx: &mut UnitTransaction| tx.lock(id).await)
        .await
        .expect("it is held")
        .expect("it is there");
    let one = fixture.routes_of(id, green).await[0];
    fixture.health(&[one], RouteHealth::Degraded).await;
    fixture.health(&[one], RouteHealth::Healthy).await;
    let footprint = fixture.footprint().await;
    let result = fixture
        .db
        .write(async |tx: &mut UnitTransaction| {
            let transition = stale
                .decide(verbs::promote)
                .expect("the stale rows say that it may");
            let plan = PlannedChange::of_call(transition, Operation::Promote);
            Ok(tx.carry_out(stale, &plan, &call()))
        })
        .await;
    assert!(
        matches!(
            result,
            Err(StoreError::Conflict {
                what: "update deployment",
                expected: 1,
                found: 0
            })
        ),
        "{result:?}"
    );
    assert_eq!(fixture.footprint().await, footprint);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_promotion_changes_no_row(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(3, manual()).await;
    let generation = fixture.get(id).await.generation;
    let one = fixture.routes_of(id, green).await[0];
    // No cycle has run since: the transaction sees it all the same, and the
    // deployment says why it does not go on.
    fixture.health(&[one], RouteHealth::Unhealthy).await;
    let blockers = fixture.get(id).await.status.blockers;
    assert_eq!(blockers[0].code(), BlockerCode::GreenUnhealthy);
    let footprint = fixture.footprint().await;
    let refused = fixture.db.complete_manual_promote(id, None, &call()).await;
    let Err(UnitError::Refused(PromoteRefusal::Rules(PromoteRejection::Blocked(blockers)))) =
        refused
    else {
        panic!("{refused:?}")
    };
    assert!(
        blockers[0]
            .to_string()
            .starts_with("2 of 3 green routes are ready; 1 is UNHEALTHY")
    );
    let other = RequestContext {
        expected_generation: Some(generation + 1),
        ..call()
    };
    let refused = fixture.db.complete_manual_promote(id, None, &other).await;
    assert!(matches!(refused, Err(UnitError::Generation { actual, .. }) if actual == generation));
    let blue = fixture.get(id).await.state.current();
    let refused = fixture.db.complete_manual_promote(id, blue, &call()).await;
    assert!(matches!(
        refused,
        Err(UnitError::Refused(PromoteRefusal::Revision { .. }))
    ));
    let preview = fixture
        .db
        .preview_promote(id, None, &call())
        .await
        .expect("a preview");
    assert!(preview.outcome.is_err());
    assert_eq!(fixture.footprint().await, footprint);

    // And a cycle that has not run yet is no reason to refuse.
    fixture.health(&[one], RouteHealth::Healthy).await;
    let preview = fixture
        .db
        .preview_promote(id, Some(green), &call())
        .await
        .expect("a preview");
    assert_eq!(preview.outcome.expect("nothing is in the way").0.len(), 3);
    fixture
        .db
        .complete_manual_promote(id, Some(green), &call())
        .await
        .expect("it is promoted");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn blue_is_stopped_only_after_its_grace(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let policy = Policy {
        drain_grace: Duration::from_millis(300),
        ..manual()
    };
    let (id, _) = fixture.at_the_gate(2, policy).await;
    let promotion = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promotion = promotion.expect("it is promoted");
    let promoted_at: Timestamp = promotion.deployment.promoted_at.expect("when");
    let tables = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .traffic_tables(Tables::Of(vec![id]), Projects::All)
        .await
        .expect("the table");
    assert!(
        tables[0]
            .endpoints
            .iter()
            .all(|e| promotion.promoted.contains(&e.route))
    );
    // Of the same revision as the table, in which two stand beside each other only
    // while routes are replaced step by step.
    assert!(tables[0].revision.is_some());
    assert!(
        tables[0]
            .endpoints
            .iter()
            .all(|e| e.revision == tables[0].revision)
    );
    loop {
        let assigned = fixture
            .db
            .open_assignments("g", Projects::All, &AssignmentSelection::All)
            .await
            .expect("they are read");
        let now = fixture.db.now().await.expect("the time");
        if assigned.open.is_empty() {
            let next = assigned.next.expect("a STOP is to come");
            assert!(next <= Duration::from_millis(300));
            tokio::time::sleep(next).await;
            continue;
        }
        assert!(
            now >= promoted_at + Duration::from_millis(300),
            "handed out before its time"
        );
        assert_eq!(assigned.open.len(), 2);
        assert!(assigned.open.iter().all(|open| open.action == Action::Stop));
        break;
    }
    fixture
        .status(&promotion.drained, RouteStatus::Terminated)
        .await;
    let assigned = fixture
        .db
        .open_assignments("g", Projects::All, &AssignmentSelection::All)
        .await
        .expect("they are read");
    assert!(assigned.open.is_empty() && assigned.next.is_none());
    invariants::hold(&fixture).await;
}

/// The rest takes traffic with it, and is in the table once it is ready.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn at_the_threshold_the_rest_comes_up_after_the_switch(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let policy = blue_green(|spec| spec.ready_threshold = Some(IntOrPercent::Percent(50)));
    let id = fixture.ready(3, policy).await;
    let green = fixture.deploy(id).await;
    let routes = fixture.routes_of(id, green).await;
    fixture.status(&routes[..1], RouteStatus::Running).await;
    fixture.health(&routes[..1], RouteHealth::Healthy).await;
    fixture.settle().await;
    let refused = fixture.db.complete_manual_promote(id, None, &call()).await;
    refused.expect_err("one of three is too few");

    fixture.status(&routes[1..2], RouteStatus::Running).await;
    fixture.health(&routes[1..2], RouteHealth::Healthy).await;
    fixture.settle().await;
    assert_eq!(
        fixture.get(id).await.state.sub_step(),
        Some(SubStep::AwaitingPromotion)
    );
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promoted = promoted.expect("two of three are enough").deployment;
    let blue = promoted.status.blue;
    assert_eq!((blue.ready, blue.active_traffic), (2, 3));
    assert_eq!(promoted.availability, Some(Availability::Degraded));
    invariants::hold(&fixture).await;

    fixture.bring_up(id, RouteHealth::Healthy).await;
    let whole = fixture.get(id).await;
    assert_eq!(whole.availability, Some(Availability::Available));
    let current = fixture.routes_of(id, green).await;
    assert_eq!(current.len(), 3, "none was created anew");
    invariants::hold(&fixture).await;
}
