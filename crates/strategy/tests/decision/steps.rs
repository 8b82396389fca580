//! Blue-green, eight steps, the first that matches wins: each where it matches,
//! and where it just does not. Blue is 1 to 3, green is 4 and up, N is 3.

use viridian_strategy::Stopwatch;

use crate::case::{
    BLUES, Degraded, FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running,
    Terminated, Terminating, Unhealthy, at, blue, compare, deploying, green, secs, table,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn is_ready() -> ReplicaSpec {
    green(Running, Healthy)
}

#[test]
fn step_1_counts_blue_that_is_active_and_sorts_green_out() {
    let case = deploying(
        4,
        [
            blue(Running, Healthy),
            blue(Running, Degraded),
            blue(Provisioning, NotChecked),
            blue(Terminating, Healthy).drained(90),
            blue(Terminated, Healthy).drained(90),
            green(Provisioning, NotChecked),
            green(Running, Healthy),
            green(Running, Unhealthy),
            green(Running, Degraded),
            green(Running, NotChecked),
            green(Terminated, Healthy),
            green(FailedToStart, NotChecked),
            green(Terminating, Healthy).drained(90),
            green(Terminated, Healthy).drained(90),
            // It failed in an earlier rollout of the same revision.
            green(Terminated, Healthy).made_in(BLUES),
        ],
    );
    let (blue, green) = viridian_strategy::counts(&case.deployment, &case.routes);
    assert_eq!((blue.ready, blue.unhealthy, blue.provisioning), (1, 1, 1));
    assert_eq!((blue.active_traffic, blue.failed), (3, 0));
    assert_eq!(
        (
            green.provisioning,
            green.ready,
            green.unhealthy,
            green.failed
        ),
        (1, 1, 3, 2)
    );
    assert_eq!(green.active_traffic, 0);
}

#[test]
fn step_2_creates_missing_green_and_drains_surplus() {
    table([
        (
            "none is there",
            deploying(3, [serving()]),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
        (
            "one is missing, all others are ready",
            deploying(3, [serving(), is_ready().times(2)]),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "a drained one is missing",
            deploying(
                3,
                [
                    serving(),
                    is_ready().times(2),
                    green(Terminating, Healthy).drained(9),
                ],
            ),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "a failed one past the budget is not missing",
            deploying(
                3,
                [serving(), is_ready().times(2), green(Terminated, Healthy)],
            ),
            "PROVISIONING, wake 600",
        ),
        (
            "none is missing",
            deploying(3, [serving(), is_ready().times(3)]),
            "AWAITING_PROMOTION",
        ),
        (
            "one too many: the worst of them goes",
            deploying(
                3,
                [serving(), green(Running, Degraded), is_ready().times(3)],
            ),
            "AWAITING_PROMOTION, drain 4",
        ),
        (
            "one too many: the youngest of them goes",
            deploying(3, [serving(), is_ready().created(5), is_ready().times(3)]),
            "AWAITING_PROMOTION, drain 4",
        ),
        (
            "one too many, and one of those that stay is not ready",
            deploying(
                3,
                [
                    serving(),
                    green(Running, Unhealthy).times(2),
                    is_ready().times(2),
                ],
            ),
            "PROVISIONING, drain 5, wake 600",
        ),
    ]);
}

#[test]
fn step_3_rolls_back_when_no_green_lives_and_some_failed() {
    let lost = green(FailedToStart, NotChecked);
    table([
        (
            "all failed",
            deploying(3, [serving(), lost.times(3)]),
            "READY blue by roll-back, wake 100",
        ),
        (
            "fewer than N failed, but the rest was drained by a smaller N",
            deploying(2, [blue(Running, Healthy).times(2), lost.times(2)]),
            "READY blue by roll-back, wake 100",
        ),
        (
            "one still starts",
            deploying(
                3,
                [serving(), lost.times(2), green(Provisioning, NotChecked)],
            ),
            "PROVISIONING, wake 600",
        ),
        (
            "one runs, if badly",
            deploying(3, [serving(), lost.times(2), green(Running, Unhealthy)]),
            "PROVISIONING, wake 600",
        ),
        (
            "none lives, but none failed: they were drained",
            deploying(
                3,
                [serving(), green(Terminated, Healthy).drained(9).times(3)],
            ),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
        (
            "they failed before this rollout",
            deploying(3, [serving(), lost.made_in(BLUES).times(3)]),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
    ]);
}

#[test]
fn steps_4_and_5_wait_until_all_are_ready() {
    let starting = green(Provisioning, NotChecked);
    table([
        (
            "4: one is provisioning",
            deploying(3, [serving(), is_ready().times(2), starting]).auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "4: HEALTHY does not count before RUNNING",
            deploying(
                3,
                [serving(), is_ready().times(2), green(Provisioning, Healthy)],
            )
            .auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "5: one is not healthy",
            deploying(
                3,
                [serving(), is_ready().times(2), green(Running, Unhealthy)],
            )
            .auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "5: a partial failure waits for the deadline",
            deploying(
                3,
                [serving(), is_ready().times(2), green(Terminated, Healthy)],
            )
            .auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "all are ready",
            deploying(3, [serving(), is_ready().times(3)]).auto(0),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
        ),
    ]);
    let said = |third: ReplicaSpec| {
        let case = deploying(3, [serving(), is_ready().times(2), third.at(60)]);
        case.blockers().join("; and ")
    };
    compare([
        (
            "provisioning",
            said(starting),
            "2 of 3 green routes are ready; 1 is starting",
        ),
        (
            "unhealthy",
            said(green(Running, Unhealthy)),
            "2 of 3 green routes are ready; 1 is UNHEALTHY since 1970-01-01 00:01:00 UTC",
        ),
        (
            "failed",
            said(green(Terminated, Healthy)),
            "2 of 3 green routes are ready; 1 failed; \
             and failed green routes are not replaced (max_replacements is 0)",
        ),
    ]);
}

#[test]
fn step_6_waits_for_min_ready_and_then_for_a_person() {
    let case = |latest: i64| {
        deploying(
            3,
            [serving(), is_ready().at(10).times(2), is_ready().at(latest)],
        )
        .blue_green(|spec| spec.min_ready = secs(60))
    };
    table([
        ("not over", case(41), "PROVISIONING, wake 101"),
        ("just over", case(40), "AWAITING_PROMOTION"),
        (
            "not over, automatic",
            case(41).auto(0),
            "PROVISIONING, wake 101",
        ),
        (
            "just over, automatic",
            case(40).auto(0),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
        ),
        (
            "counts from RUNNING when that came after HEALTHY",
            deploying(3, [serving(), is_ready().at(10).status_at(90).times(3)])
                .blue_green(|spec| spec.min_ready = secs(60)),
            "PROVISIONING, wake 150",
        ),
    ]);
    assert_eq!(
        case(41).blockers(),
        ["green must stay ready until 1970-01-01 00:01:41 UTC"]
    );
    assert_eq!(
        case(40).blockers(),
        ["green is ready (3 routes); waiting for someone to promote"]
    );
}

#[test]
fn step_7_counts_the_delay_from_the_latest_change_of_health() {
    let case = |latest: i64| {
        let (early, late) = (is_ready().at(10), is_ready().at(latest));
        deploying(3, [serving(), early, late, early]).auto(30)
    };
    table([
        ("not over", case(71), "AWAITING_PROMOTION, wake 101"),
        (
            "just over",
            case(70),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
        ),
    ]);
    assert_eq!(
        case(71).blockers(),
        ["green is ready; promotes at 1970-01-01 00:01:41 UTC"]
    );
}

#[test]
fn step_8_promotes_exactly_the_ready_green_and_drains_every_active_blue() {
    table([
        (
            "blue in any shape",
            deploying(
                3,
                [
                    blue(Running, Unhealthy),
                    blue(Provisioning, NotChecked),
                    blue(Terminating, Healthy).drained(90),
                    is_ready().times(3),
                ],
            )
            .auto(0),
            "READY green by promotion, promote 4 5 6, drain 1 2, wake 100",
        ),
        (
            "blue is dead: promotion never asks for its health",
            deploying(3, [blue(Terminated, Healthy).times(3), is_ready().times(3)]).auto(0),
            "READY green by promotion, promote 4 5 6, wake 100",
        ),
        (
            "green that is over or going stays where it is",
            deploying(
                3,
                [
                    serving(),
                    green(Terminated, Healthy),
                    green(Terminating, Healthy).drained(9),
                    is_ready().times(3),
                ],
            )
            .auto(0)
            .blue_green(|spec| spec.max_replacements = Some(1)),
            "READY green by promotion, promote 6 7 8, drain 1 2 3, wake 100",
        ),
        (
            "a surplus green is drained, not promoted",
            deploying(3, [serving(), is_ready().times(3), is_ready().created(1)]).auto(0),
            "READY green by promotion, promote 4 5 6, drain 1 2 3 7, wake 100",
        ),
        (
            "not without auto_promote",
            deploying(3, [serving(), is_ready().times(3)]),
            "AWAITING_PROMOTION",
        ),
    ]);
}

#[test]
fn the_deadline_that_is_shown_is_the_one_that_runs() {
    let waiting = deploying(3, [serving()]);
    assert_eq!(waiting.evaluate().deadline, Some(at(600)));
    let stopped = deploying(3, [serving(), is_ready().times(3)]);
    assert_eq!(stopped.evaluate().deadline, None);
    let spent = deploying(3, [serving()]).rollout(|rollout| {
        rollout.progress = Stopwatch {
            spent: secs(200),
            since: Some(at(90)),
        };
    });
    assert_eq!(spent.evaluate().deadline, Some(at(490)));
}
