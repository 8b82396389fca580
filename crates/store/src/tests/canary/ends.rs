//! What ends a canary: from any share all of the traffic is blue's in that very transaction.

use rstest_reuse::apply;
use viridian_strategy::{
    DeploymentState, GateAction, GateTimeout, Lifecycle, RouteHealth, RouteTraffic, SubStep,
};

use super::{CanaryRun, canary_with, full_step, kill, manual_step, secs, step};
use crate::{
    HistoryOutcome, Operation, RollBackOptions,
    tests::fixture::{Engine, call, engines, spec},
};

/// At 50 %, with replicas of green on their way.
async fn at_half(engine: Engine) -> CanaryRun {
    let run = CanaryRun::at_first_step(engine, 4, [step(500, 60), step(800, 60)]).await;
    assert_eq!(run.weights().await, Some([500, 500]));
    run
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_an_abort_at_50_percent_is_one_transaction(#[case] engine: Engine) {
    let run = at_half(engine).await;
    let (green, before) = (run.green().await, run.get().await);
    let commits = "SELECT COUNT(*) AS n FROM events";
    let events = run.fixture.number(commits).await;
    let aborted = run.fixture.db.abort_deployment(run.id, None, &call()).await;
    let aborted = aborted.expect("it is under way").deployment;
    // Nobody has looked since.
    assert_eq!(run.get().await, aborted);
    let ready = DeploymentState::Ready { current: run.blue };
    assert_eq!(aborted.state, ready);
    run.is_back(green).await;
    assert_eq!(run.fixture.number(commits).await, events + 1);
    assert_eq!(aborted.sequence, before.sequence + 1);
    assert_eq!(run.table().await.epoch, before.epoch + 1);
    let moves = run.done(before.last_history).await;
    assert_eq!(moves, [(Operation::Abort, None); 2], "by ROLLING_BACK");
    let entry = &run.fixture.history(run.id).await[0];
    assert_eq!(entry.outcome, HistoryOutcome::RolledBack);
    assert_eq!(entry.effects.drained, 2);
    run.check().await;
    run.fixture.settle().await;
    run.is_back(green).await;
    run.check().await;
}

/// While the next step comes up, at a dark step, and at the gate.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_an_abort_from_any_other_place(#[case] engine: Engine) {
    let mut coming_up = at_half(engine).await;
    coming_up.pass(60).await;
    assert_eq!(coming_up.green_routes().await.len(), 4);
    let dark = CanaryRun::at_first_step(engine, 4, [step(0, 60)]).await;
    let mut gate = CanaryRun::at_first_step(engine, 4, [full_step(500, 5)]).await;
    gate.pass(5).await;
    assert_eq!(gate.sub_step().await, Some(SubStep::AwaitingPromotion));
    assert_eq!(gate.weights().await, Some([500, 500]));
    let paused = at_half(engine).await;
    paused.fixture.pause(paused.id, true).await;
    for run in [coming_up, dark, gate, paused] {
        let green = run.green().await;
        let aborted = run.fixture.db.abort_deployment(run.id, None, &call()).await;
        aborted.expect("it is under way");
        run.is_back(green).await;
        run.check().await;
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_third_revision_takes_its_place_without_a_share(#[case] engine: Engine) {
    let run = at_half(engine).await;
    let (green, seed) = (run.green().await, run.table().await.split_seed);
    let terms = call();
    let next = run
        .fixture
        .db
        .create_revision(run.id, spec(), false, &terms);
    let next = next.await.expect("it is recorded").revision.id;
    let activated = run.fixture.db.activate_revision(run.id, next, true, &terms);
    let activated = activated.await.expect("it supersedes").deployment;
    assert_eq!(activated.state.deploying(), Some(next));
    run.is_back(green).await;
    assert_ne!(run.table().await.split_seed, seed, "other users come first");
    run.check().await;
    run.fixture.settle().await;
    run.bring_up().await;
    assert_eq!(run.weights().await, Some([500, 500]), "from its first step");
    assert_eq!(run.active(green).await, 0);
    run.check().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_roll_back_gives_it_up(#[case] engine: Engine) {
    let run = at_half(engine).await;
    let green = run.green().await;
    let back = RollBackOptions::default();
    let terms = call();
    let back = run.fixture.db.roll_back_deployment(run.id, back, &terms);
    assert!(back.await.expect("it is under way").instant);
    run.is_back(green).await;
    run.check().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_deletion_leaves_nothing_with_traffic(#[case] engine: Engine) {
    for by_force in [false, true] {
        let run = at_half(engine).await;
        let deleted = if by_force {
            run.fixture.db.destroy_deployment(run.id, &call()).await
        } else {
            run.fixture.db.delete_deployment(run.id, &call()).await
        };
        deleted.expect("it is deleted");
        let table = run.table().await;
        assert_eq!((table.weights.len(), table.endpoints.len()), (0, 0));
        let routes = run.fixture.routes(run.id).await;
        let mut active = routes.iter().map(|route| route.view.traffic);
        assert!(active.all(|traffic| traffic == RouteTraffic::Inactive));
        let left = "SELECT COUNT(*) AS n FROM deployments WHERE weight_permille IS NOT NULL";
        assert_eq!(run.fixture.number(left).await, 0);
        run.check().await;
    }
}

/// It goes back by itself: the deadline passes while a replica does not come back, nobody
/// advances in time, and all of its replicas fail.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_it_goes_back_by_itself(#[case] engine: Engine) {
    let mut late = at_half(engine).await;
    let green = late.green_routes().await;
    late.fixture
        .health(&green[..1], RouteHealth::Unhealthy)
        .await;
    late.fixture.settle().await;
    assert_eq!(late.weights().await, Some([750, 250]));
    let revision = late.green().await;
    late.pass(600).await;
    late.is_back(revision).await;
    late.check().await;

    let timeout = |it: &mut viridian_strategy::BlueGreen| {
        it.max_replacements = Some(0);
        it.gate_timeout = Some(GateTimeout {
            duration: secs(100),
            action: GateAction::Rollback,
        });
    };
    for dies in [false, true] {
        let policy = canary_with([manual_step(500, 10)], timeout);
        let mut run = CanaryRun::ready(engine, 2, policy).await;
        let green = run.deploy().await;
        run.bring_up().await;
        assert_eq!(run.weights().await, Some([500, 500]));
        if dies {
            kill(&run.fixture, &run.green_routes().await).await;
            run.fixture.settle().await;
        } else {
            run.pass(10).await;
            run.pass(99).await;
            assert_eq!(run.weights().await, Some([500, 500]));
            run.pass(1).await;
        }
        run.is_back(green).await;
        assert_eq!(run.get().await.state.lifecycle(), Lifecycle::Ready);
        let entry = &run.fixture.history(run.id).await[0];
        assert_eq!(entry.phase, Operation::RollBack);
        run.check().await;
    }
}

/// A restart makes new routes of what serves, and so waits for its turn.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a2_a_restart_waits_for_the_end(#[case] engine: Engine) {
    let run = at_half(engine).await;
    let before = run.get().await;
    let refused = run.fixture.db.restart_deployment(run.id, &call()).await;
    refused.expect_err("a rollout is under way");
    assert_eq!(run.get().await, before);
    assert_eq!(run.weights().await, Some([500, 500]));
}
