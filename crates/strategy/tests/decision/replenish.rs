//! PENDING and READY: the current revision is kept at N, with a back-off when
//! its routes keep failing. Blue while DEPLOYING is kept in the same way.

use viridian_strategy::DeploymentState;

use crate::case::{
    FailedToStart, Healthy, NotChecked, Provisioning, Running, Terminated, Terminating, Unhealthy,
    blue, case, deploying, green, pending, ready, secs, table,
};

#[test]
fn missing_and_failed_routes_are_created_active() {
    let up = blue(Running, Healthy);
    table([
        ("all are there", ready(3, [up.times(3)]), "READY blue"),
        (
            "one is missing",
            ready(3, [up.times(2)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "one crashed",
            ready(3, [up.times(2), blue(Terminated, Healthy).at(90)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "all crashed at once: that is one failure",
            ready(3, [blue(Terminated, Healthy).at(100).times(3)]),
            "READY blue, create 3 blue ACTIVE",
        ),
        (
            "one is on its way out",
            ready(3, [up.times(2), blue(Terminating, Healthy).drained(99)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "one is unhealthy: it is there",
            ready(3, [up.times(2), blue(Running, Unhealthy)]),
            "READY blue",
        ),
        (
            "PENDING is kept too",
            pending(3, [up.times(2)]),
            "PENDING blue, create 1 blue ACTIVE",
        ),
        (
            "blue is kept at a rollout's side",
            deploying(3, [up.times(2), green(Provisioning, NotChecked).times(3)]),
            "PROVISIONING, create 1 blue ACTIVE, wake 600",
        ),
        (
            "blue is kept at a gate",
            deploying(3, [up.times(2), green(Running, Healthy).times(3)]),
            "AWAITING_PROMOTION, create 1 blue ACTIVE",
        ),
    ]);
}

#[test]
fn says_why_it_is_not_complete() {
    let up = blue(Running, Healthy);
    let rows = [
        (ready(3, [up.times(3)]), ""),
        (
            ready(3, [up.times(2), blue(Provisioning, NotChecked)]),
            "2 of 3 current routes are ready; 1 is starting",
        ),
        (
            ready(3, [up.times(2)]),
            "2 of 3 current routes are ready; 1 is starting",
        ),
        (
            pending(2, [up, blue(Running, Unhealthy).at(62)]),
            "1 of 2 current routes is ready; 1 is UNHEALTHY since 1970-01-01 00:01:02 UTC",
        ),
        (
            case(DeploymentState::Pending { current: None }, 3, []),
            "there is no revision to run",
        ),
    ];
    for (case, sentence) in rows {
        assert_eq!(case.blockers().join("; "), sentence);
    }
}

#[test]
fn a_pending_one_without_a_revision_is_idle() {
    let idle = case(DeploymentState::Pending { current: None }, 3, []);
    assert_eq!(idle.says(), "PENDING nothing");
}

#[test]
fn a_ready_one_stays_ready_whatever_its_routes_do() {
    table([
        (
            "all are unhealthy",
            ready(3, [blue(Running, Unhealthy).times(3)]),
            "READY blue",
        ),
        (
            "none is left",
            ready(3, []),
            "READY blue, create 3 blue ACTIVE",
        ),
    ]);
}

/// Each failure in a row doubles the wait, from the second on: 1, 2, 4 s.
#[test]
fn the_back_off_doubles() {
    let mut case = ready(1, [blue(Running, Healthy)]);
    let mut waits = Vec::new();
    for _ in 0..13 {
        let last = case.routes.len();
        case.report(last, Terminated, Healthy);
        let failed_at = case.now;
        while case.routes.len() == last {
            match case.settle().wake_at {
                Some(wake_at) => case.now = wake_at,
                None => assert!(case.routes.len() > last, "stuck"),
            }
        }
        waits.push(case.now.since(failed_at).as_secs());
        case.now = case.now + secs(1);
    }
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
}

#[test]
fn what_counts_as_a_failure_in_a_row() {
    let lost = |created, failed| blue(Terminated, Healthy).created(created).at(failed);
    table([
        (
            "two in a row",
            ready(1, [lost(0, 90), lost(90, 100)]),
            "READY blue, wake 101",
        ),
        (
            "two at once",
            ready(1, [lost(0, 90), lost(0, 100)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "two at the same moment, in which the second was created",
            ready(1, [lost(0, 100), lost(100, 100)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "the first was drained",
            ready(1, [lost(0, 90).drained(80), lost(90, 100)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "the first was an hour ago",
            ready(1, [lost(0, 90), lost(90, 3690)]).now(3690),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "it was not quite",
            ready(1, [lost(0, 91), lost(91, 3690)]).now(3690),
            "READY blue, wake 3691",
        ),
        (
            "it was of another revision",
            ready(1, [green(Terminated, Healthy).at(90), lost(90, 100)]),
            "READY blue, create 1 blue ACTIVE",
        ),
    ]);
}

#[test]
fn the_back_off_says_when_it_ends() {
    let case = ready(
        2,
        [
            blue(Running, Healthy),
            blue(FailedToStart, NotChecked).created(10).at(20),
            blue(FailedToStart, NotChecked).created(20).at(90),
            blue(FailedToStart, NotChecked).created(90).at(99),
        ],
    );
    assert_eq!(case.says(), "READY blue, wake 101");
    assert_eq!(
        case.blockers(),
        [
            "1 of 2 current routes is ready",
            "routes failed 3 times in a row; the next attempt is at 1970-01-01 00:01:41 UTC",
        ]
    );
    let over = case.clone().now(101);
    assert_eq!(over.says(), "READY blue, create 1 blue ACTIVE");
    let too_old = case.now(99 + 3600);
    assert_eq!(too_old.says(), "READY blue, create 1 blue ACTIVE");
}

#[test]
fn where_none_is_missing_there_is_no_back_off() {
    let lost = |created, failed| blue(Terminated, Healthy).created(created).at(failed);
    let case = ready(1, [blue(Running, Healthy), lost(0, 90), lost(90, 100)]);
    assert_eq!(case.says(), "READY blue");
    assert_eq!(case.blockers(), Vec::<String>::new());
}

#[test]
fn the_back_off_holds_up_no_promotion() {
    let failures = [
        blue(FailedToStart, NotChecked).created(80).at(90),
        blue(FailedToStart, NotChecked).created(90).at(100),
    ];
    let routes = |greens| failures.into_iter().chain([greens]);
    table([
        (
            "blue waits",
            deploying(1, routes(green(Running, Healthy))),
            "AWAITING_PROMOTION, wake 101",
        ),
        (
            "green does not",
            deploying(1, routes(green(Running, Healthy))).auto(0),
            "READY green by promotion, promote 3, wake 100",
        ),
    ]);
}
