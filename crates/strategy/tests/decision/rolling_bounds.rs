//! What a rolling update takes away at most, whatever health says at that moment. Old
//! routes are blue and come first; new ones are green.

use viridian_strategy::{
    IntOrPercent::{Count, Percent},
    RouteHealth,
};

use crate::case::{
    Degraded, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Unhealthy, at, blue,
    deploying, green, other, ready, roll, table,
};

fn new(health: RouteHealth) -> ReplicaSpec {
    green(Running, health).active()
}

#[test]
fn a3_a_hiccup_of_the_checker_takes_no_more_than_the_policy_allows() {
    let unhealthy = |count| blue(Running, Unhealthy).times(count);
    let ten = |routes: [ReplicaSpec; 2]| roll(10, Count(1), Count(0), routes);
    table([
        (
            "none, while no new one has come",
            ten([unhealthy(10), new(Healthy).times(0)]),
            "PROVISIONING, create 1 green ACTIVE, wake 600",
        ),
        (
            "none, while the new one is not ready",
            ten([unhealthy(10), new(NotChecked)]),
            "PROVISIONING, wake 600",
        ),
        (
            "one, for the new one that is ready",
            ten([unhealthy(10), new(Healthy)]),
            "PROVISIONING, create 1 green ACTIVE, drain 10, wake 600",
        ),
        (
            "all that the unavailability allows, and no more",
            roll(8, Count(0), Percent(25), [unhealthy(8)]),
            "PROVISIONING, create 2 green ACTIVE, drain 8 7, wake 600",
        ),
        (
            "0/0 counts as 0/1",
            roll(3, Percent(0), Percent(10), [unhealthy(3)]),
            "PROVISIONING, create 1 green ACTIVE, drain 3, wake 600",
        ),
        (
            "both revisions are unhealthy: none",
            ten([unhealthy(5), new(Unhealthy).times(6)]),
            "PROVISIONING, wake 600",
        ),
    ]);
}

#[test]
fn a3_the_rollout_goes_on_where_it_was_when_the_checker_is_back() {
    let routes = [blue(Running, Healthy).times(10), new(Healthy)];
    let mut case = roll(10, Count(1), Count(0), routes);
    case.report_all(1..=11, Running, Unhealthy);
    case.settle();
    case.now = at(101);
    case.report_all(1..=11, Running, Healthy);
    assert_eq!(
        case.says(),
        "PROVISIONING, create 1 green ACTIVE, drain 10, wake 600"
    );
}

#[test]
fn a3_what_serves_by_fail_open_counts_as_available() {
    let old = |health| blue(Running, health).times(4);
    table([
        (
            "four DEGRADED ones, and a new one that is not ready",
            roll(4, Count(1), Count(0), [old(Degraded), new(Unhealthy)]),
            "PROVISIONING, wake 600",
        ),
        (
            "all NOT_CHECKED, by a health TTL",
            roll(
                4,
                Count(2),
                Count(0),
                [old(NotChecked), new(NotChecked).times(2)],
            ),
            "PROVISIONING, wake 600",
        ),
        (
            "what serves nothing goes before what serves",
            roll(
                4,
                Count(0),
                Count(1),
                [
                    blue(Running, Unhealthy).times(3),
                    blue(Provisioning, NotChecked),
                ],
            ),
            "PROVISIONING, create 1 green ACTIVE, drain 4, wake 600",
        ),
        (
            "the only replica",
            roll(
                1,
                Count(1),
                Count(0),
                [blue(Running, Unhealthy), new(NotChecked)],
            ),
            "PROVISIONING, wake 600",
        ),
        (
            "the only replica, when the new one serves",
            roll(
                1,
                Count(1),
                Count(0),
                [blue(Running, Unhealthy), new(Healthy)],
            ),
            "READY green by promotion, drain 1, wake 100",
        ),
    ]);
}

#[test]
fn a3_a_smaller_target_takes_no_more_than_the_surplus() {
    let unhealthy = |count| blue(Running, Unhealthy).times(count);
    table([
        (
            "in the middle of a rolling update",
            roll(4, Count(1), Count(0), [unhealthy(10), new(Healthy)]),
            "PROVISIONING, create 1 green ACTIVE, drain 10 9 8 7 6 5 4, wake 600",
        ),
        (
            "those that are not ready first",
            roll(
                4,
                Count(1),
                Count(0),
                [blue(Running, Healthy).times(4), unhealthy(2)],
            ),
            "PROVISIONING, create 1 green ACTIVE, drain 6 5, wake 600",
        ),
        (
            "while READY",
            ready(3, [unhealthy(10)]),
            "READY blue, drain 10 9 8 7 6 5 4",
        ),
        (
            "blue of a blue-green rollout",
            deploying(3, [unhealthy(5), green(Provisioning, NotChecked).times(3)]),
            "PROVISIONING, drain 5 4, wake 600",
        ),
    ]);
}

#[test]
fn a3_the_way_back_has_the_same_bounds() {
    let back = |routes: [ReplicaSpec; 2]| roll(4, Count(1), Count(0), routes).rolling_back();
    table([
        (
            "one, for the one that has come back",
            back([blue(Running, Healthy), new(Unhealthy).times(4)]),
            "ROLLING_BACK, create 1 blue ACTIVE, drain 5",
        ),
        (
            "none, while the one that came back is not ready",
            back([blue(Running, Unhealthy), new(Unhealthy).times(4)]),
            "ROLLING_BACK",
        ),
    ]);
}

/// The old green of a rolling update, which an activation has superseded, serves until
/// it is replaced: it is an old route like any other.
#[test]
fn a3_a_superseded_revision_has_the_same_bounds() {
    let routes = [
        blue(Running, Unhealthy).times(2),
        other(Running, Unhealthy).active().times(2),
    ];
    assert_eq!(
        roll(4, Count(1), Count(0), routes).says(),
        "PROVISIONING, create 1 green ACTIVE, wake 600"
    );
}

#[test]
fn a3_a_resumed_rollout_has_the_same_bounds() {
    let routes = [blue(Running, Unhealthy).times(4), new(Unhealthy)];
    let mut case = roll(4, Count(1), Count(0), routes).paused();
    case.settle();
    assert_eq!(case.pause(false), Ok(()));
    assert_eq!(case.says(), "PROVISIONING, wake 600");
}
