//! Roll-backs during a rollout: they give it up.

use rstest_reuse::apply;
use viridian_strategy::{
    DeploymentState, IntOrPercent, Policy, RollingUpdate, RolloutOutcome, RouteHealth, Strategy,
    SubStep, verbs::AbortRejection,
};

use super::{
    fixture::{Engine, Fixture, back_to, call, engines, manual, with_request},
    invariants,
};
use crate::{RollBackOptions, RollBackRefusal, RolledBack, UnitError};

fn unnamed() -> RollBackOptions {
    RollBackOptions::default()
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_a_roll_back_during_a_rollout_gives_it_up(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    let gate = fixture.get(id).await;
    let blue = gate.state.current().expect("it serves");
    let preview = fixture.db.preview_roll_back(id, unnamed(), &call()).await;
    let preview = preview.expect("it is under way");
    assert_eq!((preview.revision, preview.instant), (blue, true));
    assert!(preview.kept.is_empty() && preview.blockers.is_empty());
    assert_eq!(fixture.get(id).await, gate, "a preview changes nothing");

    let call_once = with_request();
    for _ in 0..2 {
        let seen = RollBackOptions {
            expected_revision: Some(green),
            ..unnamed()
        };
        let back = fixture.db.roll_back_deployment(id, seen, &call_once).await;
        let back = back.expect("it is under way; the repeat gets the same reply");
        assert!(back.instant && back.kept.is_empty());
        assert_eq!(
            back.deployment.state,
            DeploymentState::Ready { current: blue }
        );
    }
    let after = fixture.get(id).await;
    let last = after.last_rollout.expect("a rollout ended");
    assert_eq!(
        (last.revision, last.outcome),
        (green, RolloutOutcome::Aborted)
    );
    let again = fixture
        .db
        .roll_back_deployment(id, unnamed(), &call())
        .await;
    assert!(matches!(
        refused(again),
        RollBackRefusal::AlreadyRolledBack { .. }
    ));
    invariants::hold(&fixture).await;
}

/// By its name, too; to another revision it is no way back.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_what_serves_may_be_named(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(1, manual()).await;
    let blue = fixture.get(id).await.state.current().expect("it serves");
    let before = fixture.footprint().await;
    let to_green = fixture
        .db
        .roll_back_deployment(id, back_to(green), &call())
        .await;
    let in_progress = refused(to_green);
    assert!(matches!(in_progress, RollBackRefusal::InProgress(it) if it.id == green));
    assert_eq!(fixture.footprint().await, before);
    let expecting_blue = RollBackOptions {
        expected_revision: Some(blue),
        ..back_to(blue)
    };
    let back = fixture
        .db
        .roll_back_deployment(id, expecting_blue, &call())
        .await;
    assert!(back.expect("it is under way").instant);
}

/// Whoever repeats a roll-back that takes its time does not stop it.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_a_second_roll_back_does_not_give_up_the_first(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, bad) = fixture.at_the_gate(1, manual()).await;
    let good = fixture.get(id).await.state.current().expect("it serves");
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is at the gate");
    let back = fixture
        .db
        .roll_back_deployment(id, unnamed(), &call())
        .await;
    assert!(!back.expect("nothing is under way").instant);
    let again = fixture
        .db
        .roll_back_deployment(id, unnamed(), &call())
        .await;
    let in_progress = refused(again);
    assert!(matches!(in_progress, RollBackRefusal::InProgress(it) if it.id == good));
    // But it may be given up by name.
    let stays = fixture
        .db
        .roll_back_deployment(id, back_to(bad), &call())
        .await;
    let stays = stays.expect("it is under way").deployment;
    assert_eq!(stays.state, DeploymentState::Ready { current: bad });
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_a_rolling_update_goes_back_step_by_step(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let rolling = Policy {
        strategy: Strategy::Rolling(RollingUpdate {
            max_surge: IntOrPercent::Count(1),
            max_unavailable: IntOrPercent::Count(0),
        }),
        ..Policy::default()
    };
    let id = fixture.ready(2, rolling).await;
    fixture.deploy(id).await;
    let back = fixture
        .db
        .roll_back_deployment(id, unnamed(), &call())
        .await;
    let back = back.expect("it is under way");
    assert!(!back.instant);
    let sub_step = back.deployment.state.sub_step();
    assert_eq!(sub_step, Some(SubStep::RollingBack));
    let again = fixture
        .db
        .roll_back_deployment(id, unnamed(), &call())
        .await;
    let refusal = RollBackRefusal::GiveUp(AbortRejection::RollingBack);
    assert_eq!(refused(again), refusal);
    fixture.bring_up(id, RouteHealth::Healthy).await;
    invariants::hold(&fixture).await;
}

fn refused(result: Result<RolledBack, UnitError<RollBackRefusal>>) -> RollBackRefusal {
    match result {
        Err(UnitError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}
