//! Every outcome says why, in a sentence.

use viridian_strategy::{GateAction, GateTimeout, IntOrPercent};

use crate::case::{
    DecisionCase, FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running,
    Terminated, Terminating, Unhealthy, at, awaiting, blue, compare, deploying, destroying, green,
    pending, ready, secs,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn up() -> ReplicaSpec {
    green(Running, Healthy).times(3)
}

fn timed_out(action: GateAction) -> DecisionCase {
    awaiting(3, [serving(), up()]).blue_green(|spec| {
        let duration = secs(50);
        spec.gate_timeout = Some(GateTimeout { duration, action });
    })
}

#[test]
fn of_a_cycle() {
    let one = IntOrPercent::Count(1);
    let lost = green(FailedToStart, NotChecked);
    let new = green(Running, Healthy).active();
    let rows = [
        ("all is well", ready(3, [serving()]), ""),
        (
            "keeping N",
            pending(3, [blue(Running, Healthy), blue(Running, Unhealthy).at(50)]),
            "1 of 3 current routes is ready; 1 is starting; 1 is UNHEALTHY since 1970-01-01 00:00:50 UTC",
        ),
        (
            "waiting for green",
            deploying(3, [serving(), green(Provisioning, NotChecked).times(3)]),
            "0 of 3 green routes are ready; 3 are starting",
        ),
        (
            "some failed",
            deploying(2, [serving(), lost, green(Running, Healthy)]),
            "1 of 2 green routes is ready; 1 failed; \
             failed green routes are not replaced (max_replacements is 0)",
        ),
        (
            "promoted",
            deploying(3, [serving(), up()]).auto(0),
            "3 green routes are ready; every gate is open",
        ),
        (
            "promoted by the gate",
            timed_out(GateAction::Promote),
            "not promoted within 50 s",
        ),
        (
            "rolled back by the gate",
            timed_out(GateAction::Rollback),
            "not promoted within 50 s",
        ),
        (
            "all green failed",
            deploying(3, [serving(), lost.times(2), green(Terminated, Healthy)]),
            "no green route is left: 3 failed",
        ),
        (
            "the deadline passed",
            deploying(3, [serving(), green(Running, Healthy)]).now(600),
            "no progress within 600 s: 1 of 3 green routes is ready",
        ),
        (
            "rolling: replaced",
            deploying(3, [new.times(3)]).rolling(one, one),
            "3 new routes are ready; no old one is left",
        ),
        (
            "rolling: all new failed",
            deploying(3, [serving(), lost.times(2)]).rolling(one, one),
            "no green route is left: 2 failed",
        ),
        (
            "rolling: the deadline passed",
            deploying(3, [serving(), green(Running, Unhealthy).active()])
                .rolling(one, one)
                .now(600),
            "no progress within 600 s: 0 of 3 green routes are ready",
        ),
        (
            "rolling: back",
            deploying(3, [serving()]).rolling(one, one).rolling_back(),
            "3 old routes are ready; no new one is left",
        ),
        (
            "ending",
            destroying([serving(), green(Terminating, Healthy).drained(50)]),
            "4 routes are still ending",
        ),
        ("ended", destroying([blue(Terminated, Healthy)]), ""),
    ];
    compare(rows.map(|(name, case, expected)| (name, case.evaluate().reason(), expected)));
}

/// What a gate measures begins anew when all have been ready for as long as the
/// deadline is: blips that are days apart do not add up.
#[test]
fn unready_time_is_forgotten_after_a_long_recovery() {
    let mut case = deploying(3, [serving(), up()]);
    case.settle();
    for blip in 1..=20 {
        case.now = at(1_000 * blip);
        case.report(4, Running, Unhealthy);
        let deadline = 1_000 * blip + 600;
        assert_eq!(case.says(), format!("PROVISIONING, wake {deadline}"));
        case.pass_to(1_000 * blip + 100);
        case.report(4, Running, Healthy);
        case.settle();
    }
}
