//! Routes that their scheduler takes away: they are replaced, and have not failed.

use crate::case::{
    FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Terminated,
    Terminating, at, blue, deploying, green, ready, table,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn evicted(of: ReplicaSpec) -> ReplicaSpec {
    of.evicted(90)
}

#[test]
fn a12_an_evicted_green_is_replaced_and_is_no_failure() {
    let up = green(Running, Healthy);
    let with = |gone| {
        deploying(3, [serving(), up.times(2), gone]).blue_green(|spec| {
            spec.max_replacements = Some(0);
        })
    };
    let replaced = "PROVISIONING, create 1 green INACTIVE, wake 600";
    table([
        (
            "while it is taken away",
            with(evicted(green(Terminating, Healthy))),
            replaced,
        ),
        (
            "once it has ended",
            with(evicted(green(Terminated, Healthy))),
            replaced,
        ),
        (
            "one that failed is not: the rollout waits for its deadline",
            with(green(Terminated, Healthy)),
            "PROVISIONING, wake 600",
        ),
        (
            "all of them: that ends no rollout",
            deploying(3, [serving(), evicted(green(Terminated, Healthy)).times(3)]),
            "PROVISIONING, create 3 green INACTIVE, wake 600",
        ),
    ]);
    let blockers = with(evicted(green(Terminating, Healthy))).blockers();
    assert_eq!(
        blockers,
        [
            "2 of 3 green routes are ready; 1 is starting",
            "1 route is being taken away by its scheduler",
        ]
    );
}

#[test]
fn a12_an_evicted_route_of_the_current_revision_is_replaced_at_once() {
    let gone = evicted(blue(Terminating, Healthy));
    let case = ready(3, [blue(Running, Healthy).times(1), gone.times(2)]);
    assert_eq!(case.says(), "READY blue, create 2 blue ACTIVE");
    assert_eq!(
        case.blockers(),
        [
            "1 of 3 current routes is ready; 2 are starting",
            "2 routes are being taken away by their scheduler",
        ]
    );
    let mut replaced = ready(3, [serving(), gone]);
    assert_eq!(
        replaced.blockers(),
        Vec::<String>::new(),
        "nobody waits for it"
    );
    replaced.deployment.target_replicas = 0;
    assert_eq!(replaced.says(), "READY blue, drain 3 2 1");
}

/// However often: a failure is what makes the next one wait.
#[test]
fn a12_evictions_do_not_lengthen_the_back_off() {
    let ended = |created: i64| blue(Terminated, Healthy).created(created).at(created + 1);
    let failed = ready(3, [blue(Running, Healthy).times(2), ended(96), ended(98)]).now(99);
    assert_eq!(failed.says(), "READY blue, wake 100");
    let gone = [ended(96), ended(98)].map(|route| route.evicted(99));
    let [first, second] = gone;
    let evicted = ready(3, [blue(Running, Healthy).times(2), first, second]).now(99);
    assert_eq!(evicted.says(), "READY blue, create 1 blue ACTIVE");
}

/// By the reports that a scheduler sends: also one that had not been started.
#[test]
fn a12_what_a_scheduler_takes_away_is_told_from_what_fails_and_what_is_drained() {
    for (from, by_way_of, failed) in [
        (Running, Some(Terminating), false),
        (Provisioning, Some(Terminating), false),
        (Running, None, true),
    ] {
        let mut case = ready(3, [blue(Running, Healthy).times(2), blue(from, NotChecked)]);
        if let Some(status) = by_way_of {
            case.report(3, status, NotChecked);
            assert!(case.routes[2].is_evicted());
        }
        case.report(3, Terminated, NotChecked);
        let route = case.routes[2];
        assert_eq!(route.has_failed(), failed, "{route:?}");
        assert!(!route.is_evicted(), "it is over");
        assert_eq!(route.evicted_at.is_some(), !failed);
    }
    let mut drained = ready(2, [serving()]);
    drained.settle();
    drained.now = at(101);
    // The scheduler's own word for what it was asked to do.
    drained.report(3, Terminating, Healthy);
    assert_eq!(drained.routes[2].evicted_at, None);
    let mut lost = ready(1, [blue(Provisioning, NotChecked)]);
    lost.report(1, FailedToStart, NotChecked);
    assert!(lost.routes[0].has_failed());
}
