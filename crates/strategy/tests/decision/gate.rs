//! The gate's timeout and its three actions. The gate has been closed since 50.

use viridian_strategy::{GateAction, GateTimeout, RolloutStep, Stopwatch};

use crate::case::{
    DecisionCase, Healthy, Running, Unhealthy, at, awaiting, blue, deploying, green, secs, table,
};

fn gate(action: GateAction) -> DecisionCase {
    let all = [
        blue(Running, Healthy).times(3),
        green(Running, Healthy).times(3),
    ];
    awaiting(3, all).blue_green(|spec| {
        let duration = secs(100);
        spec.gate_timeout = Some(GateTimeout { duration, action });
    })
}

#[test]
fn three_actions() {
    table([
        ("hold: before", gate(GateAction::Hold), "AWAITING_PROMOTION"),
        (
            "hold: after",
            gate(GateAction::Hold).now(150),
            "AWAITING_PROMOTION",
        ),
        (
            "roll back: before",
            gate(GateAction::Rollback).now(149),
            "AWAITING_PROMOTION, wake 150",
        ),
        (
            "roll back: after",
            gate(GateAction::Rollback).now(150),
            "READY blue by roll-back, drain 4 5 6, wake 150",
        ),
        (
            "promote: before",
            gate(GateAction::Promote).now(149),
            "AWAITING_PROMOTION, wake 150",
        ),
        (
            "promote: after",
            gate(GateAction::Promote).now(150),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 150",
        ),
    ]);
    let sentence = |action| gate(action).blockers().join("");
    let waiting = "green is ready (3 routes); waiting for someone to promote";
    assert_eq!(sentence(GateAction::Hold), waiting);
    assert_eq!(
        sentence(GateAction::Rollback),
        format!("{waiting}; rolls back at 1970-01-01 00:02:30 UTC")
    );
    assert_eq!(
        sentence(GateAction::Promote),
        format!("{waiting}; promotes at 1970-01-01 00:02:30 UTC")
    );
}

#[test]
fn without_a_timeout_it_holds_for_ever() {
    let case = gate(GateAction::Hold)
        .blue_green(|spec| spec.gate_timeout = None)
        .now(1_000_000);
    assert_eq!(case.says(), "AWAITING_PROMOTION");
}

#[test]
fn a_timeout_never_promotes_what_is_not_ready() {
    let one_is_not = [
        blue(Running, Healthy).times(3),
        green(Running, Healthy).times(2),
        green(Running, Unhealthy),
    ];
    let mut case = gate(GateAction::Promote).now(150);
    case.routes = awaiting(3, one_is_not).routes;
    assert_eq!(case.says(), "PROVISIONING, wake 750");
}

#[test]
fn it_starts_over_when_the_gate_is_reached_again() {
    let mut case = gate(GateAction::Rollback).now(140);
    case.report(4, Running, Unhealthy);
    case.pass_to(200);
    case.report(4, Running, Healthy);
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 300");
}

#[test]
fn it_starts_when_the_gate_is_reached() {
    let all = [
        blue(Running, Healthy).times(3),
        green(Running, Healthy).times(3),
    ];
    let mut case = deploying(3, all).now(70);
    case.policy = gate(GateAction::Rollback).policy;
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 170");
    assert_eq!(case.evaluate().deadline, Some(at(170)));
    case.pass_to(120);
    assert_eq!(
        case.says(),
        "AWAITING_PROMOTION, wake 170",
        "looking does not move it"
    );
}

#[test]
fn an_automatic_promotion_has_no_use_for_it() {
    let case = gate(GateAction::Rollback).auto(500).now(150);
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 500");
}

#[test]
fn what_it_had_spent_counts() {
    let case = gate(GateAction::Rollback).rollout(|rollout| {
        let gate = Stopwatch {
            spent: secs(70),
            since: None,
        };
        rollout.step = RolloutStep::AwaitingPromotion { gate };
    });
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 130");
}
