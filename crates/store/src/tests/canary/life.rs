//! From the first step to the promotion, and the calls on the way.

use rstest_reuse::apply;
use viridian_strategy::{
    BlockerCode, DeploymentState, Policy, SubStep,
    verbs::{AdvanceRejection, UpdateRejection},
};

use super::{CanaryRun, canary, canary_with, manual_step, secs, step};
use crate::{
    AdvanceOptions, AdvanceRefusal, HistoryOutcome, Operation, RollBackOptions, UnitError,
    UpdateRefusal,
    tests::fixture::{Engine, amend, call, engines, manual},
};

fn expecting(step: u32) -> AdvanceOptions {
    AdvanceOptions {
        expected_step: Some(step),
        ..AdvanceOptions::default()
    }
}

/// Dark, 5 %, 25 % by hand, 50 %, all; and at once back again.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_from_a_dark_step_to_all_and_back(#[case] engine: Engine) {
    let steps = [
        step(0, 30),
        step(50, 60),
        manual_step(250, 60),
        step(500, 60),
    ];
    let mut run = CanaryRun::ready(engine, 10, canary(steps)).await;
    let before = run.get().await;
    let green = run.deploy().await;
    assert_eq!(run.green_routes().await.len(), 1, "one is enough for it");
    run.bring_up().await;

    assert_eq!(run.sub_step().await, Some(SubStep::Shifting));
    let dark = run.table().await;
    assert_eq!((dark.epoch, dark.endpoints.len()), (before.epoch, 10));
    assert_eq!(run.weights().await, None);
    let previewed: Vec<_> = dark.preview.iter().map(|it| it.route).collect();
    assert_eq!(previewed, run.green_routes().await);
    assert_eq!(run.active(green).await, 0);
    run.check().await;

    run.pass(29).await;
    assert_eq!(run.progress().await.step, 1, "its hold is not over");
    run.pass(1).await;
    assert_eq!(run.weights().await, Some([950, 50]));
    let lit = run.table().await;
    assert_eq!((lit.epoch, lit.preview.len()), (before.epoch + 1, 0));
    assert_eq!(dark.split_seed, 0, "without shares");
    assert_ne!(lit.split_seed, 0);
    run.check().await;

    run.pass(60).await;
    assert_eq!(run.sub_step().await, Some(SubStep::Provisioning));
    assert_eq!(run.green_routes().await.len(), 3);
    assert_eq!(run.weights().await, Some([950, 50]), "the share goes on");
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([750, 250]));
    run.check().await;

    run.pass(10_000).await;
    let blockers = run.get().await.status.blockers;
    let codes: Vec<_> = blockers.iter().map(|it| it.code()).collect();
    assert_eq!(codes, [BlockerCode::ManualStep]);
    run.advance(expecting(3)).await.expect("it is at step 3");
    run.fixture.settle().await;
    assert_eq!(run.weights().await, Some([750, 250]));
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([500, 500]));
    run.check().await;

    run.pass(60).await;
    run.bring_up().await;
    assert_eq!(run.sub_step().await, Some(SubStep::AwaitingPromotion));
    assert_eq!(run.weights().await, Some([500, 500]), "it waits with it");
    assert_eq!(run.active(run.blue).await, 10);
    run.check().await;
    let terms = call();
    let promoted = run.fixture.db.complete_manual_promote(run.id, None, &terms);
    let promoted = promoted.await.expect("all of green are ready");
    assert_eq!(promoted.promoted, [], "they have traffic already");
    assert_eq!(promoted.drained.len(), 10);
    let all = run.table().await;
    assert_eq!((all.weights.len(), all.endpoints.len()), (0, 10));
    assert_eq!(all.revision, Some(green));
    run.check().await;

    run.fixture.settle().await;
    let back = RollBackOptions::default();
    let back = run.fixture.db.roll_back_deployment(run.id, back, &terms);
    assert!(back.await.expect("blue is kept").instant);
    run.is_back(green).await;
    run.check().await;

    use Operation::{Activate, Advance, Evaluate, Promote, RollBack, Shift};
    assert_eq!(
        run.done(before.last_history).await,
        [
            (Activate, None),
            (Evaluate, None),
            (Shift, Some(0)),
            (Shift, Some(50)),
            (Evaluate, None),
            (Shift, Some(250)),
            (Advance, None),
            (Evaluate, None),
            (Shift, Some(500)),
            (Evaluate, None),
            (Evaluate, None),
            (Promote, None),
            (RollBack, None),
        ]
    );
    let shifted = "SELECT COUNT(*) AS n FROM events WHERE kind = 'SHIFTED'";
    assert_eq!(run.fixture.number(shifted).await, 4);
}

/// Steps that need nobody end with a promotion that needs nobody.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_it_goes_to_the_end_by_itself(#[case] engine: Engine) {
    let policy = canary_with([step(100, 5), step(300, 5)], |it| it.auto_promote = true);
    let mut run = CanaryRun::ready(engine, 4, policy).await;
    let green = run.deploy().await;
    for expected in [Some([900, 100]), Some([700, 300]), None] {
        run.bring_up().await;
        assert_eq!(run.weights().await, expected);
        run.check().await;
        run.pass(5).await;
    }
    let ready = DeploymentState::Ready { current: green };
    assert_eq!(run.get().await.state, ready);
}

/// What a server needs is in its database.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_server_that_starts_goes_on_with_the_hold(#[case] engine: Engine) {
    let mut run = CanaryRun::at_first_step(engine, 4, [step(100, 60), step(500, 60)]).await;
    run.pass(40).await;
    let (before, table) = (run.get().await, run.table().await);
    run.fixture = run.time.restart(run.fixture).await;
    assert_eq!((run.get().await, run.table().await), (before, table));
    run.pass(19).await;
    assert_eq!(run.sub_step().await, Some(SubStep::Shifting));
    assert_eq!(run.green_routes().await.len(), 1);
    run.pass(1).await;
    assert_eq!(run.green_routes().await.len(), 2, "the hold is over");
    // And with a step that was left.
    run.fixture = run.time.restart(run.fixture).await;
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([500, 500]));
    run.check().await;
}

/// A pause stops the hold; the share stays.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_pause_stops_the_hold(#[case] engine: Engine) {
    let mut run = CanaryRun::at_first_step(engine, 4, [step(250, 60)]).await;
    run.pass(20).await;
    run.fixture.pause(run.id, true).await;
    run.pass(1_000).await;
    assert_eq!(run.weights().await, Some([750, 250]));
    let refused = run.advance(AdvanceOptions::default()).await;
    assert_eq!(rules(refused), AdvanceRejection::Paused);
    run.fixture.pause(run.id, false).await;
    run.pass(39).await;
    assert_eq!(run.green_routes().await.len(), 1);
    run.pass(1).await;
    assert_eq!(run.green_routes().await.len(), 4, "it comes up for all");
    run.check().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_an_advance_is_refused_where_nothing_is_held(#[case] engine: Engine) {
    let any = AdvanceOptions::default();
    let run = CanaryRun::at_first_step(engine, 4, [step(100, 60), step(500, 60)]).await;
    let footprint = run.fixture.footprint().await;
    let refused = run.advance(expecting(2)).await;
    let other_step = AdvanceRefusal::Step {
        expected: 2,
        actual: 1,
    };
    assert_eq!(refusal(refused), other_step);
    let expected_revision = Some(run.blue);
    let options = AdvanceOptions {
        expected_revision,
        ..any
    };
    let refused = refusal(run.advance(options).await);
    let AdvanceRefusal::Revision { expected, actual } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((expected, actual.id), (run.blue, run.green().await));
    assert_eq!(run.fixture.footprint().await, footprint);

    run.advance(expecting(1)).await.expect("it is held");
    // Once is enough, also before the next look.
    let refused = run.advance(any).await;
    assert_eq!(rules(refused), AdvanceRejection::NotHolding);
    run.fixture.settle().await;
    let refused = run.advance(expecting(1)).await;
    assert_eq!(rules(refused), AdvanceRejection::NotHolding);
    run.check().await;

    let aborted = run.fixture.db.abort_deployment(run.id, None, &call()).await;
    let serves = aborted.expect("it is under way").deployment.state;
    let refused = run.advance(expecting(1)).await;
    let not_deploying = AdvanceRejection::NotDeploying(serves.lifecycle());
    assert_eq!(rules(refused), not_deploying);
    let (blue_green, _) = run.fixture.at_the_gate(1, manual()).await;
    let terms = call();
    let refused = run.fixture.db.advance_deployment(blue_green, any, &terms);
    assert_eq!(rules(refused.await), AdvanceRejection::NotCanary);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_an_advance_to_the_last_step_keeps_its_hold(#[case] engine: Engine) {
    let steps = [step(100, 60), step(200, 60), manual_step(500, 60)];
    let mut run = CanaryRun::at_first_step(engine, 4, steps).await;
    let to_last = AdvanceOptions {
        to_last: true,
        ..AdvanceOptions::default()
    };
    run.advance(to_last).await.expect("it is held");
    run.fixture.settle().await;
    assert_eq!(run.weights().await, Some([900, 100]));
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([500, 500]));
    assert_eq!(run.progress().await.step, 3);
    run.pass(60).await;
    assert_eq!(run.green_routes().await.len(), 2, "someone has to advance");
    run.advance(to_last).await.expect("it is held");
    run.fixture.settle().await;
    assert_eq!(run.green_routes().await.len(), 4);
    run.check().await;
}

/// The steps may change on the way, and a share that green has does not fall. Another strategy
/// has to wait.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_the_steps_change_on_the_way(#[case] engine: Engine) {
    let mut run = CanaryRun::at_first_step(engine, 10, [step(300, 60), step(500, 60)]).await;
    let update = |policy: Policy| amend(move |it| it.policy = policy.clone());
    let (db, terms) = (run.fixture.db.clone(), call());
    let other = db.update_deployment(run.id, update(manual()), &terms);
    let Err(UnitError::Refused(UpdateRefusal::Rules(refused))) = other.await else {
        panic!("it is not refused");
    };
    assert_eq!(refused, UpdateRejection::StrategyInUse);

    let lower = canary([step(100, 20), step(200, 20), step(600, 20)]);
    let changed = db.update_deployment(run.id, update(lower), &terms);
    changed.await.expect("it is a canary still");
    run.fixture.settle().await;
    assert_eq!(run.weights().await, Some([700, 300]), "it never falls");
    run.check().await;
    for (number, share) in [(1, 300), (2, 300)] {
        assert_eq!(run.progress().await.step, number);
        assert_eq!(run.weights().await, Some([1_000 - share, share]));
        run.pass(20).await;
        run.bring_up().await;
    }
    assert_eq!(run.weights().await, Some([400, 600]));
    run.check().await;
}

/// Health reports between two looks do not move a share, and every entry of a rise names it.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a1_a_rise_says_what_it_gave_whom(#[case] engine: Engine) {
    let run = CanaryRun::at_first_step(engine, 10, [step(400, 60)]).await;
    let history = run.fixture.history(run.id).await;
    let rise = history.iter().find(|it| it.phase == Operation::Shift);
    let rise = rise.expect("it is recorded");
    assert_eq!(rise.weight_permille, Some(400));
    assert_eq!(rise.outcome, HistoryOutcome::Success);
    assert_eq!(rise.revision, Some(run.green().await));
    assert_eq!(rise.effects.promoted, 4);
    assert_eq!(rise.reason, "step 1 of 1: 40 % to green");
    let hold = run
        .progress()
        .await
        .hold
        .and_then(|it| it.reaches(secs(60)));
    assert_eq!(hold, Some(run.time.now() + secs(60)));
}

fn refusal<T: std::fmt::Debug>(told: Result<T, UnitError<AdvanceRefusal>>) -> AdvanceRefusal {
    match told {
        Err(UnitError::Refused(refusal)) => refusal,
        told => panic!("{told:?}"),
    }
}

fn rules<T: std::fmt::Debug>(told: Result<T, UnitError<AdvanceRefusal>>) -> AdvanceRejection {
    match refusal(told) {
        AdvanceRefusal::Rules(rejection) => rejection,
        refused => panic!("{refused:?}"),
    }
}
