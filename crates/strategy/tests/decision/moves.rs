//! The table of deployment moves, row by row.

use viridian_strategy::{GateAction, GateTimeout, Lifecycle, SubStep, verbs};

use crate::case::{
    BLUE, DecisionCase, FailedToStart, GREEN, Healthy, NotChecked, Provisioning, ReplicaSpec,
    Running, Terminated, Unhealthy, awaiting, blue, deploying, destroying, green, line, pending,
    ready, secs, table,
};

fn serving() -> ReplicaSpec {
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
        (
            "N is 0, which proves nothing",
            pending(0, []).asked(),
            "PENDING blue",
        ),
    ]);
}

#[test]
fn only_a_deploying_one_has_a_deploying_revision_and_a_sub_step() {
    let of = |case: DecisionCase| {
        let state = case.deployment.state;
        (state.current(), state.deploying(), state.sub_step())
    };
    for (case, sub_step) in [
        (deploying(3, []), SubStep::Provisioning),
        (awaiting(3, []), SubStep::AwaitingPromotion),
        (deploying(3, []).rolling_back(), SubStep::RollingBack),
    ] {
        assert_eq!(of(case), (Some(BLUE), Some(GREEN), Some(sub_step)));
    }
    for case in [pending(3, []), ready(3, []), destroying([])] {
        assert_eq!(of(case), (Some(BLUE), None, None));
    }
}

#[test]
fn ready_to_provisioning_when_a_revision_is_activated() {
    let case = ready(3, [serving()]);
    assert_eq!(case.activate(GREEN, false).as_deref(), Ok("PROVISIONING"));
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
    let mut case = awaiting(3, [serving(), green(Running, Healthy).at(90).times(3)]).auto(60);
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 150");
    case.pass_to(140);
    case.report(4, Running, Unhealthy);
    assert_eq!(case.says(), "PROVISIONING, wake 740");
    case.pass_to(160);
    case.report(4, Running, Healthy);
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 220");
    case.pass_to(219);
    assert!(!case.is_ready());
    case.pass_to(220);
    assert!(case.is_ready());
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
    for case in [deploying(3, all), awaiting(3, all)] {
        assert_eq!(case.promote().as_deref(), Ok(promoted));
    }
}

#[test]
fn provisioning_or_awaiting_to_ready_by_roll_back() {
    let lost = green(FailedToStart, NotChecked);
    let up = green(Running, Healthy);
    let gate = |case: DecisionCase| {
        case.blue_green(|spec| {
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
    for case in [deploying(3, all), awaiting(3, all)] {
        let back = "READY blue by roll-back, drain 4 5 6";
        assert_eq!(case.abort().as_deref(), Ok(back));
    }
}

#[test]
fn any_but_destroyed_to_destroying_to_destroyed() {
    let all = [serving(), green(Running, Healthy).times(3)];
    let three = "DESTROYING, drain 1 2 3";
    let six = "DESTROYING, drain 1 2 3 4 5 6";
    for (case, expected) in [
        (pending(3, [serving()]), three),
        (ready(3, [serving()]), three),
        (ready(3, [serving()]).paused(), three),
        (deploying(3, all), six),
        (awaiting(3, all), six),
        (deploying(3, all).rolling_back(), six),
    ] {
        assert_eq!(case.delete().as_deref(), Ok(expected));
    }
    let mut case = ready(3, [serving()]);
    case.do_delete().expect("it is READY");
    assert_eq!(case.says(), "DESTROYING");
    case.report_all(1..=3, Terminated, Healthy);
    assert_eq!(case.says(), "DESTROYED");
    let gone = |lifecycle| Err(verbs::DeleteRejection::Gone(lifecycle));
    assert_eq!(case.delete(), gone(Lifecycle::Destroying));
    case.settle();
    assert_eq!(case.delete(), gone(Lifecycle::Destroyed));
}

#[test]
fn rolling_back_to_ready_drains_green_and_never_touches_blue() {
    let mixed = [
        green(Running, Healthy),
        green(Provisioning, NotChecked),
        green(Running, Unhealthy),
    ];
    let case = |blue: ReplicaSpec| deploying(3, std::iter::once(blue).chain(mixed)).rolling_back();
    table([
        (
            "blue is well",
            case(serving()),
            "READY blue by roll-back, drain 4 5 6, wake 100",
        ),
        (
            "blue is not well: that is no reason to touch it",
            case(blue(Running, Unhealthy).times(3)),
            "READY blue by roll-back, drain 4 5 6, wake 100",
        ),
        (
            "blue is brought to N again",
            case(blue(Running, Healthy)),
            "READY blue by roll-back, create 2 blue ACTIVE, drain 2 3 4, wake 100",
        ),
    ]);
}

#[test]
fn after_an_automatic_promotion_or_a_roll_back_it_is_ready_and_quiet() {
    let all = [serving(), green(Running, Healthy).times(3)];
    for (mut case, current) in [
        (deploying(3, all).auto(0), "READY green"),
        (deploying(3, all).rolling_back(), "READY blue"),
    ] {
        case.cycle();
        assert_eq!(case.says(), current);
        assert_eq!(case.blockers(), Vec::<String>::new());
    }
}
