//! Routes that are UNHEALTHY for too long are replaced, a new one first.

use viridian_strategy::{RouteHealth, RouteId, Timestamp};

use crate::case::{
    DecisionCase, Degraded, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Unhealthy, at,
    blue, deploying, green, pending, ready, secs, table,
};

fn hanging(after: u64, mut case: DecisionCase) -> DecisionCase {
    case.policy.replace_unhealthy_after = secs(after);
    case
}

fn up(count: usize) -> ReplicaSpec {
    blue(Running, Healthy).times(count)
}

#[test]
fn a13_a_route_that_hangs_is_replaced_a_new_one_first() {
    let hangs = |count| blue(Running, Unhealthy).at(40).times(count);
    let came = blue(Running, Healthy).created(110).at(115);
    let after_60 = |routes: [ReplicaSpec; 3], now| hanging(60, ready(4, routes)).now(now);
    table([
        (
            "not yet",
            after_60([up(3), hangs(1), up(0)], 99),
            "READY blue, wake 100",
        ),
        (
            "now",
            after_60([up(3), hangs(1), up(0)], 100),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "never, by default",
            hanging(0, ready(4, [up(3), hangs(1)])).now(100_000),
            "READY blue",
        ),
        (
            "the new one starts",
            after_60(
                [up(3), hangs(1), blue(Provisioning, NotChecked).created(110)],
                120,
            ),
            "READY blue",
        ),
        (
            "the new one is there",
            after_60([up(3), hangs(1), came], 120),
            "READY blue, drain 4",
        ),
        (
            "one is DEGRADED for ever: that delays nothing, and is not replaced",
            after_60([up(2), blue(Running, Degraded).times(1), hangs(1)], 120),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "PENDING",
            hanging(60, pending(2, [up(1), hangs(1)])),
            "PENDING blue, create 1 blue ACTIVE",
        ),
        (
            "blue of a rollout",
            hanging(
                60,
                deploying(
                    2,
                    [up(1), hangs(1), green(Provisioning, NotChecked).times(2)],
                ),
            ),
            "PROVISIONING, create 1 blue ACTIVE, wake 600",
        ),
        (
            "green is judged by its deadline",
            hanging(60, deploying(1, [up(1), green(Running, Unhealthy).at(10)])),
            "PROVISIONING, wake 600",
        ),
        (
            "in a pause, too",
            hanging(60, ready(4, [up(3), hangs(1)])).paused(),
            "READY blue, create 1 blue ACTIVE",
        ),
    ]);
}

#[test]
fn a13_no_more_than_a_quarter_is_replaced_at_a_time() {
    let hangs = |count| blue(Running, Unhealthy).at(0).times(count);
    let all = |target, count| hanging(60, ready(target, [hangs(count)]));
    table([
        (
            "a quarter of 8",
            all(8, 8),
            "READY blue, create 2 blue ACTIVE",
        ),
        (
            "at least one",
            all(1, 1),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "a quarter rounds down",
            all(7, 7),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "new ones that hang, too, make room for others",
            hanging(
                60,
                ready(2, [hangs(2), blue(Running, Unhealthy).created(10).at(20)]),
            ),
            "READY blue, create 1 blue ACTIVE, drain 3",
        ),
    ]);
}

/// A time in the future, as after a step back of the clock, adds nothing to the wait.
#[test]
fn a13_a_clock_that_steps_back_does_not_lengthen_the_wait() {
    let future = blue(Running, Unhealthy).at(5_000);
    assert_eq!(
        hanging(60, ready(1, [future])).says(),
        "READY blue, wake 160"
    );
}

/// One look of the deployment after another, in which each new route is reported with a
/// health: when each route after the first one was created.
fn replacements(mut case: DecisionCase, up_to: i64, health: RouteHealth) -> Vec<Timestamp> {
    let mut known = case.routes.len();
    for second in 100..up_to {
        case.pass_to(second);
        case.settle();
        for id in known + 1..=case.routes.len() {
            case.report(id, Running, health);
        }
        known = case.routes.len();
    }
    case.routes[1..].iter().map(|it| it.created_at).collect()
}

/// The same as for routes that crash: two at once, and then a wait that doubles each time.
#[test]
fn a13_replacements_that_hang_again_are_replaced_more_and_more_slowly() {
    let case = hanging(10, ready(1, [blue(Running, Unhealthy).at(90)]));
    let created = replacements(case, 200, Unhealthy);
    // Ten seconds until it hangs, and 1, 2, 4, 8 and 16 of back-off.
    let seconds = [100, 110, 121, 133, 147, 165, 191];
    assert_eq!(created, seconds.map(at));
}

/// One that was HEALTHY in between counts as well: it hangs over and over.
#[test]
fn a13_a_route_that_was_healthy_before_it_hung_lengthens_the_wait() {
    let mut case = hanging(10, ready(1, [up(1)]));
    let mut created = Vec::new();
    for round in 0..8 {
        let serves = case.routes.len();
        case.report(serves, Running, Unhealthy);
        let before = case.now;
        while case.routes.len() == serves {
            case.pass(case.now + secs(1));
            case.settle();
        }
        created.push(case.now.since(before));
        case.report(serves + 1, Running, Healthy);
        case.settle();
        assert_eq!(case.routes[serves - 1].hung_at, Some(case.now), "{round}");
    }
    assert_eq!(created, [10, 10, 10, 10, 10, 10, 16, 32].map(secs));
}

/// What a caller takes out, or a restart replaces, has not hung, whatever its health.
#[test]
fn a13_only_what_goes_since_it_hangs_has_hung() {
    let hangs = blue(Running, Unhealthy).at(10);
    let came = blue(Running, Healthy).created(90).at(95);
    let hung = |case: &DecisionCase| case.evaluate().transition.actions.hung;
    let id = |number| RouteId(uuid::Uuid::from_u128(number));
    let case = hanging(60, ready(1, [hangs, came]));
    assert_eq!(hung(&case), [id(1)]);
    let requested = hanging(60, ready(1, [hangs.drain_requested(80), came]));
    assert_eq!(requested.says(), "READY blue, drain 1");
    assert!(hung(&requested).is_empty());
    let mut restarted = hanging(60, ready(1, [hangs, came.made_in(8)]));
    restarted.deployment.current_activation = 8;
    restarted.deployment.last_activation = 8;
    restarted.deployment.restarted = true;
    assert_eq!(restarted.says(), "READY blue, drain 1");
    assert!(hung(&restarted).is_empty());
}
