//! Activations are numbered, and a failure counts for the one in which its route was
//! created: whatever the clock says, and however often a revision is tried.

use viridian_strategy::{
    IntOrPercent::{self, Count},
    ObservedRoute, RouteStatus,
};

use crate::case::{
    BLUE, BLUES, DecisionCase, GREEN, GREENS, Healthy, NotChecked, OTHER, Provisioning, Running,
    Terminated, at, blue, deploying, green, other, pending, ready, secs, table,
};

const NONE: IntOrPercent = Count(0);

fn is_starting(route: &ObservedRoute) -> bool {
    route.status == RouteStatus::Provisioning
}

/// Fails every green route that starts, until the rollout has gone back. Says how many did.
fn fails_until_it_goes_back(case: &mut DecisionCase) -> usize {
    let mut failures = 0;
    for _ in 0..100 {
        let wake_at = case.settle().wake_at;
        let Some(index) = case.routes.iter().position(is_starting) else {
            if case.is_ready() {
                return failures;
            }
            case.now = wake_at.expect("it tries again later");
            continue;
        };
        case.now = case.now + secs(1);
        if case.routes[index].revision == GREEN {
            failures += 1;
            case.report(index + 1, RouteStatus::FailedToStart, NotChecked);
        } else {
            case.report(index + 1, Running, Healthy);
        }
    }
    panic!("it does not go back");
}

#[test]
fn a8_a_new_activation_does_not_wait_for_the_failures_of_the_one_before() {
    let serving = blue(Running, Healthy).times(3);
    let one_up = green(Running, Healthy).active();
    let mut case = deploying(3, [serving, one_up]).rolling(Count(1), NONE);
    let failures = fails_until_it_goes_back(&mut case);
    assert!(failures > 8, "only {failures} failures in a row");

    case.policy.progress_deadline = secs(5);
    let again = case.try_activate(GREEN, false).expect("it is not current");
    case.apply(&again);
    let created = case.settle().transition;
    assert_eq!(case.count(is_starting), 1, "{created:?}");
    assert!(!case.is_ready());
}

/// A revision that failed directly over PENDING and comes back there, and one that comes back
/// by an instant roll-back: both start without a wait.
#[test]
fn a8_neither_does_a_revision_that_comes_back() {
    let lost = |created, failed| blue(Terminated, Healthy).created(created).at(failed);
    let mut case = pending(1, [lost(0, 90), lost(90, 99), lost(99, 100)]);
    assert_eq!(case.says(), "PENDING blue, wake 102", "it is in a back-off");
    for revision in [GREEN, BLUE] {
        let activated = case.try_activate(revision, false).expect("it is PENDING");
        case.apply(&activated);
        case.settle();
    }
    case.report(case.routes.len(), Terminated, NotChecked);
    assert_eq!(case.says(), "PENDING blue, create 1 blue ACTIVE, wake 700");

    let kept = other(Running, Healthy).retained(50);
    let failed = |created, failed| other(Terminated, Healthy).created(created).at(failed);
    let routes = [
        blue(Running, Healthy),
        kept,
        failed(0, 90),
        failed(90, 99),
        failed(99, 100),
    ];
    let mut case = ready(2, routes);
    case.do_roll_back(OTHER).expect("one serves, one is kept");
    assert_eq!(case.says(), "READY other, create 1 other ACTIVE");
}

/// The clock went back between the two attempts: by time, the failures of the first would be
/// those of the second.
#[test]
fn a7_an_attempt_does_not_fail_by_the_failures_of_the_one_before() {
    let lost = green(Terminated, Healthy).made_in(GREENS - 1).at(120);
    let lost = lost.created(110);
    table([
        (
            "blue-green",
            deploying(3, [blue(Running, Healthy).times(3), lost.times(3)]),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
        (
            "rolling",
            deploying(3, [blue(Running, Healthy).times(3), lost.times(3)]).rolling(Count(1), NONE),
            "PROVISIONING, create 1 green ACTIVE, wake 600",
        ),
        (
            "the current revision",
            ready(
                1,
                [
                    blue(Terminated, Healthy)
                        .made_in(BLUES - 1)
                        .created(110)
                        .at(120),
                    blue(Terminated, Healthy)
                        .made_in(BLUES - 1)
                        .created(120)
                        .at(130),
                ],
            ),
            "READY blue, create 1 blue ACTIVE",
        ),
    ]);
}

#[test]
fn every_activation_has_a_number_of_its_own() {
    let serving = || blue(Running, Healthy);
    let mut case = ready(1, [serving()]);
    case.deployment.last_activation = BLUES;
    for (revision, number) in [(GREEN, BLUES + 1), (OTHER, BLUES + 2), (GREEN, BLUES + 3)] {
        let activated = case.try_activate(revision, true).expect("it supersedes");
        case.apply(&activated);
        case.settle();
        let newest = case.routes.last().expect("a new route");
        assert_eq!((newest.revision, newest.activation), (revision, number));
        assert_eq!(case.deployment.last_activation, number);
        assert_eq!(case.deployment.current_activation, BLUES);
    }
    case.do_abort().expect("it is being deployed");
    case.report(1, Terminated, NotChecked);
    case.settle();
    let healed = case.routes.last().expect("a new route");
    assert_eq!((healed.revision, healed.activation), (BLUE, BLUES));
    assert_eq!(case.now, at(100));
    assert_eq!(case.count(|route| route.status == Provisioning), 1);
}
