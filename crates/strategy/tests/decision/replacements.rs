//! `max_replacements`: failed green replaced before they count as failed.

use crate::case::{
    BLUES, DecisionCase, FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running,
    Terminated, blue, deploying, green, table,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn with_budget(budget: u32, routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    deploying(3, std::iter::once(serving()).chain(routes))
        .blue_green(|spec| spec.max_replacements = Some(budget))
}

#[test]
fn the_budget_is_for_the_whole_rollout() {
    let lost = green(FailedToStart, NotChecked);
    let up = green(Running, Healthy);
    table([
        (
            "none: the first failure is not replaced",
            with_budget(0, [up.times(2), lost]),
            "PROVISIONING, wake 600",
        ),
        (
            "one: the first is",
            with_budget(1, [up.times(2), lost]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "one: the second is not",
            with_budget(1, [up.times(2), lost.times(2)]),
            "PROVISIONING, wake 600",
        ),
        (
            "two of three at once: one is",
            with_budget(1, [up, lost.times(2)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "a crash counts as a failed start does",
            with_budget(1, [up.times(2), green(Terminated, Healthy)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "one that was drained costs nothing",
            with_budget(0, [up.times(2), green(Terminated, Healthy).drained(5)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "one that failed in an earlier rollout costs nothing",
            with_budget(0, [up.times(2), lost.made_in(BLUES)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
    ]);
}

#[test]
fn without_a_budget_as_many_are_replaced_as_the_target() {
    let lost = green(FailedToStart, NotChecked);
    let up = green(Running, Healthy);
    let unset = |target, routes: Vec<ReplicaSpec>| {
        let mut case = with_budget(0, routes).blue_green(|spec| spec.max_replacements = None);
        case.deployment.target_replicas = target;
        case
    };
    let scaled = |target| unset(target, vec![up.times(2), lost.times(4)]);
    table([
        (
            "all failed once: all are replaced",
            unset(3, vec![lost.times(3)]),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
        (
            "the fourth failure is not",
            unset(3, vec![up, lost.times(4)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "all of them failed, and all replacements",
            unset(3, vec![lost.times(6)]),
            "READY blue by roll-back, wake 100",
        ),
        (
            "more replicas, more replacements",
            scaled(4),
            "PROVISIONING, create 2 green INACTIVE, create 1 blue ACTIVE, wake 600",
        ),
        (
            "none is due at the target of before",
            scaled(3),
            "PROVISIONING, wake 600",
        ),
    ]);
    let used_up = scaled(3).blockers();
    assert_eq!(
        used_up[1..],
        ["all 3 replacements of failed green routes are used up"]
    );
}

#[test]
fn all_failed_is_only_said_when_none_is_to_be_replaced() {
    let lost = green(FailedToStart, NotChecked);
    table([
        (
            "within the budget",
            with_budget(3, [lost.times(3)]),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
        (
            "one is left of it",
            with_budget(1, [lost.times(3)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "past it",
            with_budget(1, [lost.times(4)]),
            "READY blue by roll-back, wake 100",
        ),
    ]);
}

#[test]
fn a_replaced_green_is_no_obstacle() {
    let lost = green(Terminated, Healthy);
    table([
        (
            "the replacement is starting",
            with_budget(
                1,
                [
                    green(Running, Healthy).times(2),
                    lost,
                    green(Provisioning, NotChecked),
                ],
            )
            .auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "the replacement is ready",
            with_budget(1, [green(Running, Healthy).times(3), lost]).auto(0),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
        ),
    ]);
    let used_up = with_budget(1, [green(Running, Healthy).times(2), lost.times(2)]);
    assert_eq!(
        used_up.blockers(),
        [
            "2 of 3 green routes are ready; 2 failed",
            "the replacement of failed green routes is used up",
        ]
    );
    let replacing = with_budget(1, [green(Running, Healthy).times(2), lost]);
    assert_eq!(
        replacing.blockers(),
        [
            "2 of 3 green routes are ready; 1 is starting",
            "2 of 3 green routes are ready; 1 failed",
        ]
    );
}
