//! The table of deployment moves, row by row.

use viridian_strategy::{GateAction, GateTimeout, Lifecycle, SubStep, verbs};

use crate::scene::{
    BLUE, FailedToStart, GREEN, Healthy, NotChecked, Provisioning, Replica, Running, Scene,
    Terminated, Unhealthy, awaiting, blue, deploying, destroying, green, line, pending, ready,
    secs, table,
};

fn serving() -> Replica {
    blue(Running, Healthy).times(3)
}

#[test]
fn new_to_pending() {
    let said = |revision| line(&verbs::create(revision, 3));
    assert_eq!(said(Some(BLUE)), "PENDING blue, create 3 blue ACTIVE");
    assert_eq!(said(None), "PENDING nothing");
    assert_eq!(line(&verbs::create(Some(BLUE), 0)), "PENDING blue");
}

#[test]
fn pending_to_ready_when_all_are_ready() {
    table([
        ("all N are ready", pending(3, [serving()]), "READY blue"),
        (
            "one is not",
            pending(
                3,
                [blue(Running, Healthy).times(2), blue(Running, Unhealthy)],
            ),
            "PENDING blue",
        ),
        (
            "one is starting",
            pending(
                3,
                [blue(Running, Healthy).times(2), blue(Provisioning, Healthy)],
            ),
            "PENDING blue",
        ),
        ("N is 0", pending(0, []), "READY blue"),
    ]);
}

#[test]
fn only_a_deploying_one_has_a_deploying_revision_and_a_sub_step() {
    let of = |scene: Scene| {
        let state = scene.deployment.state;
        (state.current(), state.deploying(), state.sub_step())
    };
    for (scene, sub_step) in [
        (deploying(3, []), SubStep::Provisioning),
        (awaiting(3, []), SubStep::AwaitingPromotion),
        (deploying(3, []).rolling_back(), SubStep::RollingBack),
    ] {
        assert_eq!(of(scene), (Some(BLUE), Some(GREEN), Some(sub_step)));
    }
    for scene in [pending(3, []), ready(3, []), destroying([])] {
        assert_eq!(of(scene), (Some(BLUE), None, None));
    }
}

#[test]
fn ready_to_provisioning_when_a_revision_is_activated() {
    let scene = ready(3, [serving()]);
    assert_eq!(scene.activate(GREEN, false).as_deref(), Ok("PROVISIONING"));
}

#[test]
fn provisioning_to_awaiting_promotion_at_a_closed_gate() {
    let all = [serving(), green(Running, Healthy).at(90).times(3)];
    table([
        ("manual", deploying(3, all), "AWAITING_PROMOTION"),
        (
            "delay",
            deploying(3, all).auto(60),
            "AWAITING_PROMOTION, wake 150",
        ),
    ]);
}

#[test]
fn awaiting_promotion_to_provisioning() {
    let all = green(Running, Healthy).at(90);
    let worse = green(Running, Unhealthy).at(95);
    table([
        (
            "a green is no longer ready",
            awaiting(3, [serving(), all.times(2), worse]),
            "PROVISIONING, wake 700",
        ),
        (
            "N grew",
            awaiting(4, [blue(Running, Healthy).times(4), all.times(3)]),
            "PROVISIONING, create 1 green INACTIVE, wake 700",
        ),
        (
            "neither",
            awaiting(3, [serving(), all.times(3)]),
            "AWAITING_PROMOTION",
        ),
    ]);
}

#[test]
fn the_delay_starts_again_behind_the_gate() {
    let mut scene = awaiting(3, [serving(), green(Running, Healthy).at(90).times(3)]).auto(60);
    assert_eq!(scene.says(), "AWAITING_PROMOTION, wake 150");
    scene.pass_to(140);
    scene.report(4, Running, Unhealthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 740");
    scene.pass_to(160);
    scene.report(4, Running, Healthy);
    assert_eq!(scene.says(), "AWAITING_PROMOTION, wake 220");
    scene.pass_to(219);
    assert!(!scene.is_ready());
    scene.pass_to(220);
    assert!(scene.is_ready());
}

#[test]
fn provisioning_or_awaiting_to_ready_by_promotion() {
    let all = [serving(), green(Running, Healthy).times(3)];
    let promoted = "READY green by promotion, promote 4 5 6, drain 1 2 3";
    let at_once = "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100";
    table([
        (
            "automatic, from PROVISIONING",
            deploying(3, all).auto(0),
            at_once,
        ),
        (
            "automatic, from AWAITING",
            awaiting(3, all).auto(0),
            at_once,
        ),
    ]);
    for scene in [deploying(3, all), awaiting(3, all)] {
        assert_eq!(scene.promote().as_deref(), Ok(promoted));
    }
}

#[test]
fn provisioning_or_awaiting_to_ready_by_roll_back() {
    let lost = green(FailedToStart, NotChecked);
    let up = green(Running, Healthy);
    let gate = |scene: Scene| {
        scene.blue_green(|spec| {
            spec.gate_timeout = Some(GateTimeout {
                duration: secs(50),
                action: GateAction::Rollback,
            });
        })
    };
    table([
        (
            "all green failed, from PROVISIONING",
            deploying(3, [serving(), lost.times(3)]),
            "READY blue by roll-back, wake 100",
        ),
        (
            "all green failed, from AWAITING",
            awaiting(3, [serving(), lost.times(3)]),
            "READY blue by roll-back, wake 100",
        ),
        (
            "the progress deadline passed",
            deploying(3, [serving(), up.times(2), green(Running, Unhealthy)]).now(600),
            "READY blue by roll-back, drain 4 5 6, wake 600",
        ),
        (
            "it did not quite",
            deploying(3, [serving(), up.times(2), green(Running, Unhealthy)]).now(599),
            "PROVISIONING, wake 600",
        ),
        (
            "the gate timed out",
            gate(awaiting(3, [serving(), up.times(3)])),
            "READY blue by roll-back, drain 4 5 6, wake 100",
        ),
        (
            "it did not quite",
            gate(awaiting(3, [serving(), up.times(3)])).now(99),
            "AWAITING_PROMOTION, wake 100",
        ),
    ]);
}

#[test]
fn provisioning_or_awaiting_to_ready_by_abort() {
    let all = [serving(), green(Running, Healthy).times(3)];
    for scene in [deploying(3, all), awaiting(3, all)] {
        let back = "READY blue by roll-back, drain 4 5 6";
        assert_eq!(scene.abort().as_deref(), Ok(back));
    }
}

#[test]
fn any_but_destroyed_to_destroying_to_destroyed() {
    let all = [serving(), green(Running, Healthy).times(3)];
    let three = "DESTROYING, drain 1 2 3";
    let six = "DESTROYING, drain 1 2 3 4 5 6";
    for (scene, expected) in [
        (pending(3, [serving()]), three),
        (ready(3, [serving()]), three),
        (ready(3, [serving()]).paused(), three),
        (deploying(3, all), six),
        (awaiting(3, all), six),
        (deploying(3, all).rolling_back(), six),
    ] {
        assert_eq!(scene.delete().as_deref(), Ok(expected));
    }
    let mut scene = ready(3, [serving()]);
    scene.do_delete().expect("it is READY");
    assert_eq!(scene.says(), "DESTROYING");
    scene.report_all(1..=3, Terminated, Healthy);
    assert_eq!(scene.says(), "DESTROYED");
    let gone = |lifecycle| Err(verbs::DeleteRejection::Gone(lifecycle));
    assert_eq!(scene.delete(), gone(Lifecycle::Destroying));
    scene.settle();
    assert_eq!(scene.delete(), gone(Lifecycle::Destroyed));
}

#[test]
fn rolling_back_to_ready_drains_green_and_never_touches_blue() {
    let mixed = [
        green(Running, Healthy),
        green(Provisioning, NotChecked),
        green(Running, Unhealthy),
    ];
    let scene = |blue: Replica| deploying(3, std::iter::once(blue).chain(mixed)).rolling_back();
    table([
        (
            "blue is well",
            scene(serving()),
            "READY blue by roll-back, drain 4 5 6, wake 100",
        ),
        (
            "blue is not well: that is no reason to touch it",
            scene(blue(Running, Unhealthy).times(3)),
            "READY blue by roll-back, drain 4 5 6, wake 100",
        ),
        (
            "blue is brought to N again",
            scene(blue(Running, Healthy)),
            "READY blue by roll-back, create 2 blue ACTIVE, drain 2 3 4, wake 100",
        ),
    ]);
}

#[test]
fn after_an_automatic_promotion_or_a_roll_back_it_is_ready_and_quiet() {
    let all = [serving(), green(Running, Healthy).times(3)];
    for (mut scene, current) in [
        (deploying(3, all).auto(0), "READY green"),
        (deploying(3, all).rolling_back(), "READY blue"),
    ] {
        scene.cycle();
        assert_eq!(scene.says(), current);
        assert_eq!(scene.blockers(), Vec::<String>::new());
    }
}
