//! Paused: no change at all, and the deadlines stand still.

use viridian_strategy::{GateAction, GateTimeout, IntOrPercent};

use crate::scene::{
    GREEN, Healthy, NotChecked, Provisioning, Replica, Running, Scene, Terminated, Unhealthy, at,
    awaiting, blue, deploying, destroying, green, pending, ready, secs, table,
};

fn serving() -> Replica {
    blue(Running, Healthy).times(3)
}

#[test]
fn nothing_changes() {
    let up = green(Running, Healthy).times(3);
    let one = IntOrPercent::Count(1);
    table([
        ("PENDING", pending(3, [serving()]).paused(), "PENDING blue"),
        (
            "READY, one missing",
            ready(4, [serving()]).paused(),
            "READY blue",
        ),
        (
            "READY, one too many",
            ready(2, [serving()]).paused(),
            "READY blue",
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
            "rolling",
            deploying(3, [serving(), up]).rolling(one, one).paused(),
            "PROVISIONING",
        ),
    ]);
    let scene = deploying(3, [serving()]).paused();
    assert_eq!(scene.blockers(), ["the deployment is paused"]);
    assert_eq!(scene.evaluate().deadline, None);
}

/// Paused at 100, looked at then, and resumed at `end`.
fn pause_until(mut scene: Scene, end: i64) -> Scene {
    scene.deployment.paused = true;
    scene.settle();
    scene.pass_to(end);
    scene.deployment.paused = false;
    scene
}

#[test]
fn the_progress_deadline_stands_still() {
    let starting = green(Provisioning, NotChecked).times(3);
    let scene = pause_until(deploying(3, [serving(), starting]), 5_000);
    assert_eq!(scene.says(), "PROVISIONING, wake 5500");
    let one = IntOrPercent::Count(1);
    let starting = green(Provisioning, NotChecked).active();
    let scene = deploying(3, [serving(), starting]).rolling(one, one);
    assert_eq!(pause_until(scene, 5_000).says(), "PROVISIONING, wake 5500");
}

#[test]
fn the_gate_timeout_stands_still() {
    let scene = awaiting(3, [serving(), green(Running, Healthy).times(3)]).blue_green(|spec| {
        spec.gate_timeout = Some(GateTimeout {
            duration: secs(80),
            action: GateAction::Rollback,
        });
    });
    assert_eq!(scene.says(), "AWAITING_PROMOTION, wake 130");
    assert_eq!(
        pause_until(scene, 5_000).says(),
        "AWAITING_PROMOTION, wake 5030"
    );
}

#[test]
fn a_second_look_changes_nothing() {
    let mut scene = awaiting(3, [serving(), green(Running, Healthy).times(3)]).paused();
    scene.cycle();
    let before = scene.clone();
    scene.now = at(200);
    scene.cycle();
    assert_eq!(scene.deployment, before.deployment);
}

#[test]
fn a_revision_may_still_be_activated() {
    let scene = ready(3, [serving()]).paused();
    assert_eq!(scene.activate(GREEN, false).as_deref(), Ok("PROVISIONING"));
}

#[test]
fn it_does_not_hold_up_the_end() {
    let scene = destroying([serving()]).paused();
    assert_eq!(scene.says(), "DESTROYING, drain 1 2 3");
}
