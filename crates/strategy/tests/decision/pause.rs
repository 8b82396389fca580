//! Paused: the rollout and its clocks stand still, and what serves is kept at the target.

use viridian_strategy::{
    DeploymentState, GateAction, GateTimeout, IntOrPercent, Lifecycle,
    verbs::PauseRejection::{Already, Gone},
};

use crate::case::{
    DecisionCase, GREEN, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Terminated,
    Unhealthy, at, awaiting, blue, case, deploying, destroying, green, other, pending, ready, secs,
    table,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

#[test]
fn the_rollout_stands_still() {
    let up = green(Running, Healthy).times(3);
    let one = IntOrPercent::Count(1);
    table([
        (
            "PENDING, all ready",
            pending(3, [serving()]).paused(),
            "PENDING blue",
        ),
        (
            "PROVISIONING, all missing",
            deploying(3, [serving()]).paused(),
            "PROVISIONING",
        ),
        (
            "PROVISIONING, all ready",
            deploying(3, [serving(), up]).auto(0).paused(),
            "PROVISIONING",
        ),
        (
            "PROVISIONING, all failed",
            deploying(3, [serving(), green(Terminated, Healthy).times(3)]).paused(),
            "PROVISIONING",
        ),
        (
            "PROVISIONING, past the deadline",
            deploying(3, [serving()]).paused().now(1000),
            "PROVISIONING",
        ),
        (
            "AWAITING_PROMOTION, one not ready any more",
            awaiting(3, [serving(), green(Running, Unhealthy)]).paused(),
            "AWAITING_PROMOTION",
        ),
        (
            "ROLLING_BACK",
            deploying(3, [serving(), up]).rolling_back().paused(),
            "ROLLING_BACK",
        ),
        (
            "rolling, in the middle of a step",
            deploying(3, [serving(), green(Running, Healthy).active()])
                .rolling(one, one)
                .paused(),
            "PROVISIONING",
        ),
    ]);
    let case = deploying(3, [serving()]).paused();
    assert_eq!(case.blockers(), ["the deployment is paused"]);
    assert_eq!(case.evaluate().deadline, None);
}

#[test]
fn a11_a_pause_keeps_what_serves_at_the_target() {
    let crashed = blue(Terminated, Healthy).at(90).times(2);
    let held = green(Running, Healthy).times(2);
    table([
        (
            "READY: missing ones are created",
            ready(6, [serving(), crashed]).paused(),
            "READY blue, create 3 blue ACTIVE",
        ),
        (
            "READY: surplus ones are drained",
            ready(1, [serving()]).paused(),
            "READY blue, drain 3 2",
        ),
        (
            "PENDING: healed, and not moved",
            pending(2, [blue(Running, Healthy), crashed]).paused(),
            "PENDING blue, create 1 blue ACTIVE",
        ),
        (
            "blue-green: blue is healed, green is held",
            deploying(4, [serving(), held]).paused(),
            "PROVISIONING, create 1 blue ACTIVE",
        ),
        (
            "blue-green: blue is scaled, green is held",
            awaiting(1, [serving(), held]).paused(),
            "AWAITING_PROMOTION, drain 3 2",
        ),
        (
            "no revision",
            case(DeploymentState::Pending { current: None }, 3, []).paused(),
            "PENDING nothing",
        ),
    ]);
}

#[test]
fn a11_what_serves_shows_its_blockers_beside_the_pause() {
    let lost = |created, ended| blue(Terminated, Healthy).created(created).at(ended);
    let routes = [blue(Running, Healthy).times(2), lost(80, 90), lost(91, 100)];
    let backing_off = ready(4, routes).paused();
    assert_eq!(
        backing_off.blockers(),
        [
            "the deployment is paused",
            "2 of 4 current routes are ready",
            "routes failed 2 times in a row; the next attempt is at 1970-01-01 00:01:41 UTC",
        ]
    );
    assert_eq!(backing_off.says(), "READY blue, wake 101");
    let green_fails = deploying(4, [serving(), green(Terminated, Healthy)]).paused();
    assert_eq!(
        green_fails.blockers(),
        [
            "the deployment is paused",
            "3 of 4 current routes are ready; 1 is starting",
        ]
    );
    let idle = case(DeploymentState::Pending { current: None }, 3, []).paused();
    assert_eq!(
        idle.blockers(),
        ["the deployment is paused", "there is no revision to run"]
    );
}

/// Both revisions serve side by side. None is exchanged for another: what is missing is
/// created of the current revision, within the surge.
#[test]
fn a11_a_paused_rolling_update_keeps_both_revisions_together_at_the_target() {
    let one = IntOrPercent::Count(1);
    let none = IntOrPercent::Count(0);
    let new = |count| green(Running, Healthy).active().times(count);
    let starting = green(Provisioning, NotChecked).active();
    let rolls =
        |target, routes: [ReplicaSpec; 2]| deploying(target, routes).rolling(one, none).paused();
    let old = |count| blue(Running, Healthy).times(count);
    table([
        (
            "an old one died",
            rolls(4, [old(2), new(1)]),
            "PROVISIONING, create 1 blue ACTIVE",
        ),
        (
            "all new ones died",
            rolls(4, [old(2), new(0)]),
            "PROVISIONING, create 2 blue ACTIVE",
        ),
        (
            "a new one that starts serves nothing yet, and the surge is the bound",
            rolls(4, [old(2), starting.times(2)]),
            "PROVISIONING, create 1 blue ACTIVE",
        ),
        (
            "a new one that starts stays in the middle of a step",
            rolls(4, [old(4), starting]),
            "PROVISIONING",
        ),
        (
            "a larger target",
            rolls(6, [old(3), new(1)]),
            "PROVISIONING, create 2 blue ACTIVE",
        ),
        (
            "a smaller target",
            rolls(3, [old(6), new(0)]),
            "PROVISIONING, drain 6 5 4",
        ),
        (
            "a smaller target, beyond the surge",
            rolls(2, [old(3), new(2)]),
            "PROVISIONING, drain 5 4 3",
        ),
        (
            "on the way back",
            rolls(4, [old(1), new(2)]).rolling_back(),
            "ROLLING_BACK, create 1 blue ACTIVE",
        ),
    ]);
}

/// Looked at and paused at 100, and resumed at `end`.
fn pause_until(mut case: DecisionCase, end: i64) -> DecisionCase {
    case.settle();
    assert_eq!(case.pause(true), Ok(()));
    case.pass_to(end);
    assert_eq!(case.pause(false), Ok(()));
    case
}

#[test]
fn the_progress_deadline_stands_still() {
    let starting = green(Provisioning, NotChecked).times(3);
    let case = pause_until(deploying(3, [serving(), starting]), 5_000);
    assert_eq!(case.says(), "PROVISIONING, wake 5500");
    let one = IntOrPercent::Count(1);
    let starting = green(Provisioning, NotChecked).active();
    let case = deploying(3, [serving(), starting]).rolling(one, one);
    assert_eq!(pause_until(case, 5_000).says(), "PROVISIONING, wake 5500");
}

/// A cycle that is late makes no difference.
#[test]
fn the_clocks_stop_with_the_pause_and_go_on_with_its_end() {
    let one = IntOrPercent::Count(1);
    let starting = green(Provisioning, NotChecked);
    for mut case in [
        deploying(3, [serving(), starting.times(3)]),
        deploying(3, [serving(), starting.active()]).rolling(one, one),
    ] {
        assert_eq!(case.pause(true), Ok(()));
        case.now = at(200);
        case.cycle();
        case.now = at(5_000);
        assert_eq!(case.pause(false), Ok(()));
        case.now = at(5_100);
        assert_eq!(case.says(), "PROVISIONING, wake 5500");
    }
}

#[test]
fn the_gate_timeout_stands_still() {
    let case = awaiting(3, [serving(), green(Running, Healthy).times(3)]).blue_green(|spec| {
        spec.gate_timeout = Some(GateTimeout {
            duration: secs(80),
            action: GateAction::Rollback,
        });
    });
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 130");
    assert_eq!(
        pause_until(case, 5_000).says(),
        "AWAITING_PROMOTION, wake 5030"
    );
}

#[test]
fn the_times_that_green_must_stay_ready_stand_still() {
    let all = [serving(), green(Running, Healthy).at(90).times(3)];
    let min_ready = || deploying(3, all).blue_green(|spec| spec.min_ready = secs(30));
    assert_eq!(min_ready().says(), "PROVISIONING, wake 120");
    let resumed = pause_until(min_ready(), 5_000);
    assert_eq!(resumed.says(), "PROVISIONING, wake 5020");
    let resumed = pause_until(deploying(3, all).auto(60), 5_000);
    assert_eq!(resumed.says(), "AWAITING_PROMOTION, wake 5050");
    let twice = pause_until(resumed.now(5_010), 6_000);
    assert_eq!(twice.says(), "AWAITING_PROMOTION, wake 6040");
}

#[test]
fn what_becomes_ready_during_a_pause_counts_from_its_end() {
    let all = [serving(), green(Running, NotChecked).times(3)];
    for late in [200, 5_000] {
        let mut case = deploying(3, all).auto(60);
        case.settle();
        assert_eq!(case.pause(true), Ok(()));
        case.pass_to(late);
        case.report_all(4..=6, Running, Healthy);
        case.pass_to(5_000);
        assert_eq!(case.pause(false), Ok(()));
        assert_eq!(case.says(), "AWAITING_PROMOTION, wake 5060");
        case.pass_to(5_010);
        case.report(4, Running, Unhealthy);
        case.report(4, Running, Healthy);
        assert_eq!(case.says(), "AWAITING_PROMOTION, wake 5070");
    }
}

#[test]
fn retention_runs_on_but_drains_nothing() {
    let retained = other(Running, Healthy).retained(50).times(2);
    let case = ready(3, [serving(), retained]).blue_green(|spec| {
        spec.scale_down_delay = secs(100);
    });
    assert_eq!(case.says(), "READY blue, wake 150");
    let mut case = pause_until(case, 1_000);
    assert_eq!(case.says(), "READY blue, drain 4 5");
    assert_eq!(case.pause(true), Ok(()));
    assert_eq!(case.says(), "READY blue");
}

#[test]
fn it_is_refused_where_it_changes_nothing() {
    let mut case = ready(3, [serving()]);
    assert_eq!(case.pause(false), Err(Already));
    assert_eq!(case.pause(true), Ok(()));
    assert_eq!(case.pause(true), Err(Already));
    let before = case.deployment;
    assert_eq!(case.pause(false), Ok(()));
    assert!(before.paused && !case.deployment.paused);
    let tombstone = crate::case::case(DeploymentState::Destroyed { current: None }, 3, []);
    for (mut case, lifecycle) in [
        (destroying([serving()]), Lifecycle::Destroying),
        (tombstone, Lifecycle::Destroyed),
    ] {
        assert_eq!(case.pause(true), Err(Gone(lifecycle)));
        assert_eq!(case.pause(false), Err(Gone(lifecycle)));
    }
}

#[test]
fn a_second_look_changes_nothing() {
    let mut case = awaiting(3, [serving(), green(Running, Healthy).times(3)]).paused();
    case.cycle();
    let before = case.clone();
    case.now = at(200);
    case.cycle();
    assert_eq!(case.deployment, before.deployment);
}

#[test]
fn a_revision_may_still_be_activated() {
    let case = ready(3, [serving()]).paused();
    assert_eq!(case.activate(GREEN, false).as_deref(), Ok("PROVISIONING"));
}

#[test]
fn what_is_activated_during_a_pause_counts_from_its_end() {
    let one = IntOrPercent::Count(1);
    for case in [
        ready(3, [serving()]),
        ready(3, [serving()]).rolling(one, one),
    ] {
        let mut case = case.paused();
        let activation = case.try_activate(GREEN, false).expect("it is taken");
        case.apply(&activation);
        let activated = case.deployment;
        case.now = at(200);
        case.cycle();
        assert_eq!(case.deployment, activated, "no clock had to be stopped");
        case.deployment = activated;
        case.now = at(5_000);
        assert_eq!(case.pause(false), Ok(()));
        assert_eq!(case.evaluate().deadline, Some(at(5_600)));
    }
}

#[test]
fn it_does_not_hold_up_the_end() {
    let case = destroying([serving()]).paused();
    assert_eq!(case.says(), "DESTROYING, drain 1 2 3");
}
