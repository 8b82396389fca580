//! The target changes, at any time, and the next evaluation follows it on both
//! sides.

use crate::case::{
    DecisionCase, FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running,
    Unhealthy, awaiting, blue, deploying, green, pending, ready, secs, table,
};

fn of(target: u32, mut case: DecisionCase) -> DecisionCase {
    case.deployment.target_replicas = target;
    case
}

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn up() -> ReplicaSpec {
    green(Running, Healthy).times(3)
}

#[test]
fn up_in_each_step() {
    let both = "PROVISIONING, create 1 green INACTIVE, create 1 blue ACTIVE";
    table([
        (
            "PENDING",
            of(4, pending(3, [serving()])),
            "PENDING blue, create 1 blue ACTIVE",
        ),
        (
            "READY",
            of(4, ready(3, [serving()])),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "PROVISIONING",
            of(4, deploying(3, [serving(), up()])),
            &format!("{both}, wake 600"),
        ),
        (
            "in min_ready",
            of(
                4,
                deploying(3, [serving(), up()]).blue_green(|spec| spec.min_ready = secs(200)),
            ),
            &format!("{both}, wake 600"),
        ),
        (
            "AWAITING_PROMOTION",
            of(4, awaiting(3, [serving(), up()])),
            &format!("{both}, wake 700"),
        ),
        (
            "AWAITING_PROMOTION, the delay is over",
            of(4, awaiting(3, [serving(), up()]).auto(0)),
            &format!("{both}, wake 700"),
        ),
        (
            "ROLLING_BACK",
            of(4, deploying(3, [serving(), up()]).rolling_back()),
            "READY blue by roll-back, create 1 blue ACTIVE, drain 4 5 6, wake 100",
        ),
        (
            "a failed green stays failed",
            of(
                4,
                deploying(
                    3,
                    [
                        serving(),
                        green(Running, Healthy),
                        green(FailedToStart, NotChecked),
                    ],
                ),
            ),
            "PROVISIONING, create 2 green INACTIVE, create 1 blue ACTIVE, wake 600",
        ),
    ]);
}

#[test]
fn down_in_each_step() {
    table([
        (
            "PENDING",
            of(2, pending(3, [serving()])),
            "READY blue, drain 3",
        ),
        ("READY", of(2, ready(3, [serving()])), "READY blue, drain 3"),
        (
            "PROVISIONING",
            of(
                2,
                deploying(3, [serving(), green(Provisioning, NotChecked).times(3)]),
            ),
            "PROVISIONING, drain 6 3, wake 600",
        ),
        (
            "PROVISIONING, and what is left is ready",
            of(
                2,
                deploying(
                    3,
                    [
                        serving(),
                        green(Running, Healthy).times(2),
                        green(Running, Unhealthy),
                    ],
                ),
            ),
            "AWAITING_PROMOTION, drain 6 3",
        ),
        (
            "AWAITING_PROMOTION",
            of(2, awaiting(3, [serving(), up()])),
            "AWAITING_PROMOTION, drain 6 3",
        ),
        (
            "promotion",
            of(2, awaiting(3, [serving(), up()]).auto(0)),
            "READY green by promotion, promote 4 5, drain 1 2 3 6, wake 100",
        ),
        (
            "ROLLING_BACK",
            of(2, deploying(3, [serving(), up()]).rolling_back()),
            "READY blue by roll-back, drain 4 5 6 3, wake 100",
        ),
    ]);
}

#[test]
fn to_zero_and_back() {
    let mut case = ready(3, [serving()]);
    case.deployment.target_replicas = 0;
    assert_eq!(case.says(), "READY blue, drain 3 2 1");
    case.settle();
    assert_eq!(case.says(), "READY blue");
    assert_eq!(case.blockers(), Vec::<String>::new());
    case.deployment.target_replicas = 2;
    assert_eq!(case.says(), "READY blue, create 2 blue ACTIVE");
}

#[test]
fn a_smaller_target_does_not_touch_the_delay_of_those_that_stay() {
    let late = green(Running, Healthy).created(1).at(95);
    let case = deploying(
        3,
        [serving(), green(Running, Healthy).at(10).times(2), late],
    )
    .auto(60);
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 155");
    assert_eq!(
        of(2, case).says(),
        "READY green by promotion, promote 4 5, drain 1 2 3 6, wake 100"
    );
}
