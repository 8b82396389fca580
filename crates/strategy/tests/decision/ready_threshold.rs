//! `ready_threshold`: a promotion without all of green.

use viridian_strategy::{
    IntOrPercent::{self, Count, Percent},
    RouteTraffic,
};

use crate::case::{
    DecisionCase, FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running,
    Unhealthy, awaiting, blue, deploying, green, table,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(4)
}

fn up(count: usize) -> ReplicaSpec {
    green(Running, Healthy).times(count)
}

fn with(threshold: IntOrPercent, routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    deploying(4, std::iter::once(serving()).chain(routes))
        .blue_green(|spec| spec.ready_threshold = Some(threshold))
}

#[test]
fn as_many_as_the_threshold_are_enough() {
    let slow = green(Provisioning, NotChecked);
    table([
        (
            "one too few",
            with(Count(3), [up(2), slow.times(2)]).auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "what is not ready takes traffic too, once it is",
            with(Count(3), [up(3), slow]).auto(0),
            "READY green by promotion, promote 5 6 7 8, drain 1 2 3 4, wake 100",
        ),
        (
            "of any health",
            with(Percent(75), [up(3), green(Running, Unhealthy)]).auto(0),
            "READY green by promotion, promote 5 6 7 8, drain 1 2 3 4, wake 100",
        ),
        (
            "what is missing is created with traffic",
            with(Percent(51), [up(3)]).auto(0),
            "READY green by promotion, create 1 green ACTIVE, promote 5 6 7, drain 1 2 3 4, wake 100",
        ),
        (
            "a failed one past its replacements, too",
            with(Count(3), [up(3), green(FailedToStart, NotChecked)]).auto(0),
            "READY green by promotion, create 1 green ACTIVE, promote 5 6 7, drain 1 2 3 4, wake 100",
        ),
        (
            "none is ready, and all failed",
            with(Count(1), [green(FailedToStart, NotChecked).times(4)]).auto(0),
            "READY blue by roll-back, wake 100",
        ),
        (
            "at the gate the rest goes on coming up",
            with(Count(2), [up(2), slow]),
            "AWAITING_PROMOTION, create 1 green INACTIVE",
        ),
    ]);
}

#[test]
fn the_rest_is_active_in_ready() {
    let mut case = with(Count(2), [up(2), green(Provisioning, NotChecked)]).auto(0);
    case.settle();
    assert!(case.is_ready());
    let active = case.count(|route| route.traffic == RouteTraffic::Active);
    assert_eq!(active, 4);
    assert_eq!(
        case.blockers(),
        ["2 of 4 current routes are ready; 2 are starting"]
    );
}

#[test]
fn a_manual_promotion_needs_no_more() {
    let slow = green(Provisioning, NotChecked);
    let promoted = "READY green by promotion, promote 5 6 7 8, drain 1 2 3 4";
    let enough = with(Count(3), [up(3), slow]);
    assert_eq!(enough.promote().as_deref(), Ok(promoted));
    let too_few = with(Count(3), [up(2), slow.times(2)]);
    assert!(too_few.promote().is_err());
}

/// The waits count from when enough were ready. What comes up later starts none again.
#[test]
fn a_later_one_starts_no_wait_again() {
    let late = green(Running, Healthy).at(95);
    let case = |threshold| with(threshold, [up(2).at(60), late.times(2)]).auto(50);
    table([
        (
            "two are enough since 60",
            case(Count(2)),
            "AWAITING_PROMOTION, wake 110",
        ),
        (
            "three since 95",
            case(Count(3)),
            "AWAITING_PROMOTION, wake 145",
        ),
    ]);
}

#[test]
fn below_the_threshold_the_gate_closes_again() {
    let routes = [serving(), up(2), green(Running, Unhealthy).times(2)];
    let case =
        |threshold| awaiting(4, routes).blue_green(|spec| spec.ready_threshold = Some(threshold));
    assert_eq!(case(Count(2)).says(), "AWAITING_PROMOTION");
    assert_eq!(
        case(Count(2)).blockers(),
        [
            "green is ready (2 routes); waiting for someone to promote",
            "2 of 4 green routes are ready; 2 are UNHEALTHY since 1970-01-01 00:00:00 UTC",
        ]
    );
    assert!(case(Count(3)).says().starts_with("PROVISIONING"));
}
