//! Rolling. Old routes are blue and come first; new ones are green.

use viridian_strategy::{
    IntOrPercent::{Count, Percent},
    ObservedRoute,
};

use crate::case::{
    DecisionCase, FailedToStart, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec, Running,
    Terminated, Unhealthy, blue, green, other, roll, secs, table,
};

fn old(count: usize) -> ReplicaSpec {
    blue(Running, Healthy).times(count)
}

fn new(count: usize) -> ReplicaSpec {
    green(Running, Healthy).active().times(count)
}

fn starting(count: usize) -> ReplicaSpec {
    green(Provisioning, NotChecked).active().times(count)
}

#[test]
fn surge_and_unavailable_as_counts_and_percents() {
    let first = |target: u32, surge, unavailable| {
        let count = usize::try_from(target).expect("a small number");
        roll(target, surge, unavailable, [old(count)])
    };
    table([
        (
            "25 % of 4 is 1",
            first(4, Percent(25), Count(0)),
            "PROVISIONING, create 1 green ACTIVE, wake 600",
        ),
        (
            "25 % of 5 rounds up to 2",
            first(5, Percent(25), Count(0)),
            "PROVISIONING, create 2 green ACTIVE, wake 600",
        ),
        (
            "no more than N are created",
            first(2, Count(5), Count(0)),
            "PROVISIONING, create 2 green ACTIVE, wake 600",
        ),
        (
            "unavailable makes the room at once",
            first(4, Count(0), Count(2)),
            "PROVISIONING, create 2 green ACTIVE, drain 4 3, wake 600",
        ),
        (
            "both together",
            first(4, Count(1), Count(1)),
            "PROVISIONING, create 2 green ACTIVE, drain 4, wake 600",
        ),
        (
            "25 % of 7 rounds down to 1",
            first(7, Count(0), Percent(25)),
            "PROVISIONING, create 1 green ACTIVE, drain 7, wake 600",
        ),
        (
            "25 % of 3 rounds down to 0, and 0/0 is 0/1",
            first(3, Count(0), Percent(25)),
            "PROVISIONING, create 1 green ACTIVE, drain 3, wake 600",
        ),
        (
            "100 % surge",
            first(3, Percent(100), Count(0)),
            "PROVISIONING, create 3 green ACTIVE, wake 600",
        ),
        (
            "100 % unavailable",
            first(3, Count(0), Percent(100)),
            "PROVISIONING, create 3 green ACTIVE, drain 3 2 1, wake 600",
        ),
    ]);
}

#[test]
fn step_by_step() {
    let one = |routes: [ReplicaSpec; 2]| roll(4, Count(1), Count(0), routes);
    table([
        (
            "new ones that start are waited for",
            one([old(4), starting(1)]),
            "PROVISIONING, wake 600",
        ),
        (
            "nothing is created beside them",
            roll(4, Count(2), Count(0), [old(4), starting(1)]),
            "PROVISIONING, wake 600",
        ),
        (
            "nor is anything drained",
            roll(4, Count(1), Count(1), [old(4), starting(1)]),
            "PROVISIONING, wake 600",
        ),
        (
            "new ones that are not healthy hold the old ones back",
            one([old(4), green(Running, Unhealthy).active()]),
            "PROVISIONING, wake 600",
        ),
        (
            "one for one",
            one([old(4), new(1)]),
            "PROVISIONING, create 1 green ACTIVE, drain 4, wake 600",
        ),
        (
            "the last one",
            one([old(1), new(4)]),
            "READY green by promotion, drain 1, wake 100",
        ),
        (
            "all new, no old",
            one([new(4), new(0)]),
            "READY green by promotion, wake 100",
        ),
        (
            "all old are gone, but one new is not ready",
            one([new(3), green(Running, Unhealthy).active()]),
            "PROVISIONING, wake 600",
        ),
    ]);
}

#[test]
fn old_routes_that_are_not_ready_are_drained_first() {
    table([
        (
            "not RUNNING, then UNHEALTHY, then the youngest healthy",
            roll(
                4,
                Count(1),
                Count(1),
                [
                    blue(Running, Healthy).times(3),
                    blue(Running, Unhealthy),
                    blue(Provisioning, NotChecked),
                    new(1),
                ],
            ),
            "PROVISIONING, create 2 green ACTIVE, drain 5 4 3, wake 600",
        ),
        (
            "but none before another one has come for it",
            roll(3, Count(1), Count(0), [old(2), blue(Running, Unhealthy)]),
            "PROVISIONING, create 1 green ACTIVE, wake 600",
        ),
    ]);
}

#[test]
fn completes_without_ever_breaking_the_bounds() {
    for (surge, unavailable, most, least) in [
        (Count(1), Count(0), 11, 10),
        (Count(0), Count(3), 10, 7),
        (Percent(25), Percent(25), 13, 8),
        (Count(2), Count(1), 12, 9),
    ] {
        let mut case = roll(10, surge, unavailable, [old(10)]).now(0);
        let mut rounds = 0;
        while !case.is_ready() {
            case.settle();
            let live = case.count(|route| route.status.is_active());
            let ready = case.count(ObservedRoute::is_ready);
            assert!(live <= most, "{surge:?} {unavailable:?}: {live} live");
            assert!(ready >= least, "{surge:?} {unavailable:?}: {ready} ready");
            case.now = case.now + secs(10);
            for id in 1..=case.routes.len() {
                if case.routes[id - 1].status == Provisioning {
                    case.report(id, Running, Healthy);
                }
            }
            rounds += 1;
            assert!(rounds < 20, "does not complete");
        }
        assert_eq!(case.says(), "READY green");
        let live = case.count(|route| route.status.is_active());
        assert_eq!((live, case.blockers()), (10, Vec::new()));
    }
}

#[test]
fn rolls_back_on_all_failed_and_on_the_deadline() {
    let lost = green(FailedToStart, NotChecked).at(90);
    table([
        (
            "all failed, all old are still there: it is over at once",
            roll(3, Count(1), Count(0), [old(3), lost]),
            "READY blue by roll-back, wake 100",
        ),
        (
            "all failed, one old is gone: the way back begins at once",
            roll(3, Count(1), Count(1), [old(2), lost.times(2)]),
            "ROLLING_BACK, create 1 blue ACTIVE",
        ),
        (
            "not all failed: it is replaced",
            roll(3, Count(1), Count(0), [old(2), new(1), lost]),
            "PROVISIONING, create 1 green ACTIVE, wake 600",
        ),
        (
            "the deadline passed",
            roll(
                3,
                Count(1),
                Count(1),
                [old(2), green(Running, Unhealthy).active()],
            )
            .now(600),
            "ROLLING_BACK, create 1 blue ACTIVE, drain 3",
        ),
        (
            "it did not quite",
            roll(3, Count(1), Count(0), [old(3), starting(1)]).now(599),
            "PROVISIONING, wake 600",
        ),
    ]);
}

#[test]
fn rolling_back_is_the_reverse() {
    let back = |routes: [ReplicaSpec; 3]| roll(4, Count(1), Count(0), routes).rolling_back();
    let none = new(0);
    let returning = blue(Provisioning, NotChecked).created(90).at(90);
    table([
        (
            "one old comes back first",
            back([old(2), new(2), none]),
            "ROLLING_BACK, create 1 blue ACTIVE",
        ),
        (
            "it is waited for, without a deadline",
            back([old(2), new(2), returning]).now(10_000),
            "ROLLING_BACK",
        ),
        (
            "then a green goes for it",
            back([old(3), new(2), none]),
            "ROLLING_BACK, create 1 blue ACTIVE, drain 5",
        ),
        (
            "green that is not ready stays until another one has come for it",
            back([old(3), green(Running, Unhealthy).active(), none]),
            "ROLLING_BACK, create 1 blue ACTIVE",
        ),
        (
            "the end",
            back([old(4), new(1), none]),
            "READY blue by roll-back, drain 5, wake 100",
        ),
    ]);
    assert_eq!(
        back([old(2), new(2), returning]).blockers(),
        ["2 of 4 current routes are ready; 1 is starting"],
        "what comes up on the way back is not green"
    );
}

#[test]
fn failures_that_go_on_are_waited_for() {
    let lost = |created, failed| green(Terminated, Healthy).created(created).at(failed);
    let after = |new: ReplicaSpec| {
        let routes = [old(2), new, lost(80, 90), lost(91, 100)];
        roll(2, Count(1), Count(0), routes)
    };
    table([
        (
            "the next one is created later",
            after(new(1)),
            "PROVISIONING, drain 2, wake 101",
        ),
        (
            "not where there is room for none",
            after(green(Running, Unhealthy).active()),
            "PROVISIONING, wake 600",
        ),
    ]);
}

#[test]
fn says_what_is_in_the_way() {
    let room_for_one = |routes: [ReplicaSpec; 3]| roll(3, Count(1), Count(0), routes);
    let unhealthy = ReplicaSpec::active(green(Running, Unhealthy).at(50));
    let lost = green(Terminated, Healthy).at(90);
    let come_back = blue(Running, Unhealthy).at(60);
    let rows: [(&str, DecisionCase, &[&str]); 6] = [
        (
            "new ones are created",
            room_for_one([old(3), new(0), new(0)]),
            &["0 of 3 green routes are ready; 1 is starting"],
        ),
        (
            "new ones start",
            room_for_one([old(2), new(1), starting(1)]),
            &["1 of 3 green routes is ready; 1 is starting"],
        ),
        (
            "a new one is not healthy",
            room_for_one([old(3), unhealthy, new(0)]),
            &["0 of 3 green routes are ready; 1 is UNHEALTHY since 1970-01-01 00:00:50 UTC"],
        ),
        (
            "a new one failed, and there is room for none",
            room_for_one([old(3), unhealthy, lost]),
            &[
                "0 of 3 green routes are ready; 1 is UNHEALTHY since 1970-01-01 00:00:50 UTC",
                "0 of 3 green routes are ready; 1 failed",
            ],
        ),
        (
            "a new one failed, and is replaced",
            room_for_one([old(2), new(1), lost]),
            &[
                "1 of 3 green routes is ready; 1 is starting",
                "1 of 3 green routes is ready; 1 failed",
            ],
        ),
        (
            "on the way back green is no matter",
            room_for_one([old(1), come_back, unhealthy]).rolling_back(),
            &[
                "1 of 3 current routes is ready; 1 is starting; 1 is UNHEALTHY since 1970-01-01 00:01:00 UTC",
            ],
        ),
    ];
    for (name, case, expected) in rows {
        assert_eq!(case.blockers(), expected, "{name}");
    }
}

#[test]
fn the_deadline_starts_over_with_one_more_ready() {
    let mut case = roll(3, Count(1), Count(0), [old(3)]).now(0);
    case.pass_to(500);
    case.report(4, Running, Healthy);
    assert_eq!(
        case.says(),
        "PROVISIONING, create 1 green ACTIVE, drain 3, wake 1100"
    );
}

#[test]
fn scaling_while_rolling() {
    table([
        (
            "up: the room grows with N",
            roll(5, Count(1), Count(0), [old(2), new(1)]),
            "PROVISIONING, create 3 green ACTIVE, wake 600",
        ),
        (
            "down: new ones above N go, and old ones that can be spared",
            roll(2, Count(1), Count(0), [old(2), new(3)]),
            "READY green by promotion, drain 5 2 1, wake 100",
        ),
        (
            "to zero",
            roll(0, Count(1), Count(0), [old(2), new(1)]),
            "PROVISIONING, drain 3 2 1",
        ),
    ]);
}

#[test]
fn a_superseded_rollout_replaces_both_revisions() {
    let mut case = roll(3, Count(1), Count(0), [old(2), new(2)]);
    let newer = case.try_activate(OTHER, true).expect("it supersedes");
    case.apply(&newer);
    assert_eq!(
        case.says(),
        "PROVISIONING, create 1 other ACTIVE, drain 4, wake 700"
    );
    let done = roll(
        3,
        Count(1),
        Count(0),
        [other(Running, Healthy).active().times(3)],
    )
    .rollout(|rollout| rollout.deploying = OTHER);
    assert_eq!(done.says(), "READY other by promotion, wake 100");
}
