//! What a decision rests on: an address, a health that is fresh, the later of two
//! observations, and a session in which the route has been HEALTHY.

use viridian_strategy::{
    Blocker, GateAction, GateTimeout, IntOrPercent, ObservedRoute, RouteHealth, TrafficSplit,
    verbs::PromoteRejection,
};

use crate::case::{
    DecisionCase, Degraded, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Unhealthy, at,
    awaiting, blue, compare, deploying, green, other, pending, ready, secs, table,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn up() -> ReplicaSpec {
    green(Running, Healthy)
}

fn rolling(case: DecisionCase) -> DecisionCase {
    case.rolling(IntOrPercent::Count(1), IntOrPercent::Count(0))
}

#[test]
fn a1_a_route_without_an_address_is_not_ready() {
    let without = || up().without_address();
    table([
        (
            "green",
            deploying(3, [serving(), up().times(2), without()]).auto(0),
            "PROVISIONING, wake 600",
        ),
        (
            "green, at the gate",
            awaiting(3, [serving(), up().times(2), without()]).auto(0),
            "PROVISIONING, wake 700",
        ),
        (
            "the new routes of a rolling update",
            rolling(deploying(
                2,
                [blue(Running, Healthy).times(2), without().active()],
            )),
            "PROVISIONING, wake 600",
        ),
        (
            "of a deployment that has never served",
            pending(1, [blue(Running, Healthy).without_address()]),
            "PENDING blue",
        ),
        (
            "retained: no way back at once",
            ready(1, [blue(Running, Healthy)]),
            "READY blue",
        ),
    ]);
    let retained = other(Running, Healthy).retained(50).without_address();
    let back = ready(1, [blue(Running, Healthy), retained]).roll_back(crate::case::OTHER);
    let back = back.expect("it is activated anew");
    assert!(back.starts_with("PROVISIONING"), "{back}");
}

#[test]
fn a1_the_deployment_says_which_routes_have_no_address() {
    let no_address = |count| Blocker::NoAddress {
        count,
        since: at(0),
    };
    let case = deploying(
        3,
        [
            serving(),
            up(),
            up().without_address(),
            green(Running, Unhealthy).without_address(),
        ],
    );
    assert_eq!(case.evaluate().blockers.as_slice(), [no_address(2)]);
    let refused = Err(PromoteRejection::Blocked(vec![no_address(2)]));
    assert_eq!(case.promote(), refused);
    assert_eq!(
        case.blockers(),
        [
            "2 routes run without an address since 1970-01-01 00:00:00 UTC: HOST:PORT was not reported"
        ]
    );
    let serving = [
        blue(Running, Healthy),
        blue(Running, NotChecked).without_address(),
    ];
    assert_eq!(
        ready(2, serving).blockers(),
        [
            "1 of 2 current routes is ready",
            "1 route runs without an address since 1969-12-31 23:43:20 UTC: HOST:PORT was not reported",
        ]
    );
}

fn lists(routes: impl IntoIterator<Item = ReplicaSpec>) -> Vec<u128> {
    let case = ready(3, routes);
    let split = TrafficSplit::of(&case.deployment.state);
    let serving = split.shares(&case.routes).routes;
    serving.iter().map(|route| route.id.0.as_u128()).collect()
}

#[test]
fn a1_a_route_without_an_address_is_in_no_table() {
    let without = || blue(Running, Healthy).without_address();
    assert_eq!(lists([without(), blue(Running, Healthy)]), [2]);
    // It is no ready one either: the others fail open.
    assert_eq!(lists([without(), blue(Running, Unhealthy)]), [2]);
    let unhealthy = blue(Running, Unhealthy).without_address();
    assert_eq!(lists([unhealthy, without()]), []);
}

#[test]
fn a10_only_routes_that_have_been_healthy_fail_open() {
    let loading = || blue(Running, NotChecked).never_healthy();
    assert_eq!(lists([loading()]), []);
    assert_eq!(lists([blue(Running, Unhealthy).never_healthy()]), []);
    assert_eq!(lists([blue(Running, Degraded).never_healthy()]), []);
    assert_eq!(lists([loading(), blue(Running, Unhealthy)]), [2]);
    assert_eq!(lists([loading(), blue(Running, NotChecked)]), [2]);
    // Readiness needs no past.
    assert_eq!(lists([loading(), blue(Running, Healthy)]), [2]);
}

#[test]
fn a10_a_session_has_been_healthy_once_it_was() {
    let mut route = blue(Provisioning, NotChecked).never_healthy().route();
    route.move_to(Running, at(1));
    route.observe(Unhealthy, at(2));
    assert!(!route.once_healthy);
    route.observe(Healthy, at(3));
    route.observe(Unhealthy, at(4));
    assert!(route.once_healthy);
    route.begin_session(at(5));
    assert!(!route.once_healthy, "another one");
}

/// At 100, with a health that was observed at 60 or 80.
#[test]
fn a5_nothing_goes_forward_on_a_health_that_is_too_old() {
    let [old, fresh] = [60, 80].map(|observed| move || up().at(10).observed(observed));
    let fresh_blue = || blue(Running, Healthy).observed(80);
    let gate = |action| GateTimeout {
        duration: secs(20),
        action,
    };
    let timed_out = |action| {
        awaiting(1, [blue(Running, Healthy), old()])
            .blue_green(|spec| spec.gate_timeout = Some(gate(action)))
            .health_ttl(30)
    };
    table([
        (
            "fresh",
            awaiting(3, [serving(), fresh().times(3)])
                .auto(0)
                .health_ttl(30),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
        ),
        (
            "one of them is old, without a TTL",
            awaiting(3, [serving(), fresh().times(2), old()]).auto(0),
            "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
        ),
        (
            "one of them is old",
            awaiting(3, [serving(), fresh().times(2), old()])
                .auto(0)
                .health_ttl(30),
            "AWAITING_PROMOTION, wake 107.5",
        ),
        (
            "exactly as old as the TTL",
            awaiting(1, [blue(Running, Healthy), old()])
                .auto(0)
                .health_ttl(40),
            "AWAITING_PROMOTION, wake 110",
        ),
        (
            "from the future, as after a clock was set back",
            awaiting(1, [blue(Running, Healthy), up().at(10).observed(101)])
                .auto(0)
                .health_ttl(30),
            "AWAITING_PROMOTION, wake 107.5",
        ),
        (
            "no gate is reached",
            deploying(1, [blue(Running, Healthy), old()]).health_ttl(30),
            "PROVISIONING, wake 107.5",
        ),
        (
            "a gate that was reached stays reached",
            awaiting(1, [blue(Running, Healthy), old()]).health_ttl(30),
            "AWAITING_PROMOTION, wake 107.5",
        ),
        (
            "a gate that promotes when it times out waits",
            timed_out(GateAction::Promote),
            "AWAITING_PROMOTION, wake 107.5",
        ),
        (
            "one that rolls back does not",
            timed_out(GateAction::Rollback),
            "READY blue by roll-back, drain 2, wake 100",
        ),
        (
            "no old route goes for a new one",
            rolling(deploying(
                2,
                [blue(Running, Healthy).times(2), old().active()],
            ))
            .health_ttl(30),
            "PROVISIONING, wake 107.5",
        ),
        (
            "a rolling update is not complete",
            rolling(deploying(1, [old().active()])).health_ttl(30),
            "PROVISIONING, wake 107.5",
        ),
        (
            "and does not turn back for it",
            rolling(deploying(1, [old().active()]))
                .now(700)
                .health_ttl(30),
            // And not at a deadline that has passed: it would be due at every look.
            "PROVISIONING, wake 707.5",
        ),
        (
            "a deployment is not READY by it",
            pending(1, [blue(Running, Healthy).observed(60)]).health_ttl(30),
            "PENDING blue, wake 107.5",
        ),
        (
            "one above the target holds no promotion up",
            awaiting(1, [blue(Running, Healthy), fresh(), old()])
                .auto(0)
                .health_ttl(30),
            "READY green by promotion, promote 2, drain 1 3, wake 100",
        ),
        (
            "nor a way back, where none is wanted any more",
            rolling(deploying(0, [blue(Running, Healthy).observed(60)]))
                .rolling_back()
                .health_ttl(30),
            "READY blue by roll-back, drain 1, wake 100",
        ),
        (
            "nor that a deployment is READY",
            pending(1, [fresh_blue(), blue(Running, Healthy).observed(60)]).health_ttl(30),
            "READY blue, drain 2",
        ),
        (
            "one that is READY stays so",
            ready(1, [blue(Running, Healthy).observed(60)]).health_ttl(30),
            "READY blue",
        ),
    ]);
}

#[test]
fn a5_a_promotion_by_hand_needs_a_fresh_health() {
    let green = |observed| awaiting(1, [blue(Running, Healthy), up().at(10).observed(observed)]);
    let stale = Blocker::HealthStale {
        count: 1,
        oldest: at(60),
        ttl: secs(30),
    };
    let refused = Err(PromoteRejection::Blocked(vec![stale]));
    assert_eq!(green(60).health_ttl(30).promote(), refused);
    assert!(green(71).health_ttl(30).promote().is_ok());
    assert!(green(60).promote().is_ok(), "without a TTL");
    assert_eq!(
        green(60).health_ttl(30).blockers(),
        [
            "green is ready (1 route); waiting for someone to promote",
            "the health of 1 route was not reported within 30 s, last at 1970-01-01 00:01:00 UTC",
        ]
    );
}

/// In an emergency the way back is as sure as the way forward.
#[test]
fn a5_a_roll_back_is_instant_only_to_fresh_routes() {
    let back = |observed| {
        let retained = other(Running, Healthy).retained(50).observed(observed);
        ready(1, [blue(Running, Healthy), retained])
            .health_ttl(30)
            .roll_back(crate::case::OTHER)
            .expect("it goes back")
    };
    assert!(back(80).starts_with("READY other by instant roll-back"));
    assert!(back(60).starts_with("PROVISIONING"), "{}", back(60));
}

/// A deployment that was never READY becomes so by a rollout that is given up only if its
/// first revision has come up by then, and somebody still says so.
#[test]
fn a5_a_rollout_that_is_given_up_makes_ready_only_what_is_fresh() {
    let abort = |observed| {
        deploying(1, [blue(Running, Healthy).observed(observed), up()])
            .rollout(|rollout| rollout.from_pending = true)
            .health_ttl(30)
            .abort()
            .expect("it goes back")
    };
    assert!(abort(80).starts_with("READY blue by roll-back"));
    assert!(
        abort(60).starts_with("PENDING blue by roll-back"),
        "{}",
        abort(60)
    );
}

#[test]
fn a6_the_later_observation_wins() {
    let route = || up().at(10).route();
    let of = |route: ObservedRoute, observed, named| {
        route.later_observation(at(observed), named, at(100))
    };
    let mut renewed = route();
    renewed.begin_session(at(50));
    let mut ended = route();
    ended.forget_health(at(90));
    compare([
        (
            "earlier",
            format!("{:?}", of(route(), 5, false)),
            "Some(Timestamp(10000000))",
        ),
        (
            "at the same time",
            format!("{:?}", of(route(), 10, false)),
            "None",
        ),
        ("later", format!("{:?}", of(route(), 15, false)), "None"),
        (
            "before a new session, without its name",
            format!("{:?}", of(renewed, 45, false)),
            "Some(Timestamp(50000000))",
        ),
        (
            // The checker's clock may be behind.
            "by the name of the session",
            format!("{:?}", of(renewed, 45, true)),
            "None",
        ),
        (
            "that nobody confirmed a health is no observation",
            format!("{:?}", of(ended, 50, false)),
            "None",
        ),
    ]);
    let mut from_the_future = route();
    from_the_future.health_observed_at = Some(at(500));
    assert_eq!(
        of(from_the_future, 100, false),
        None,
        "the clock was set back"
    );
    from_the_future.apply_observation(Unhealthy, at(100), at(100));
    assert_eq!(from_the_future.health_observed_at, Some(at(100)));
}

#[test]
fn a6_an_observation_is_never_of_the_future() {
    let mut route = up().at(10).route();
    route.apply_observation(RouteHealth::Unhealthy, at(500), at(100));
    assert_eq!(route.health_observed_at, Some(at(100)));
    assert_eq!(route.health_updated_at, Some(at(100)));
}

#[test]
fn a6_a_new_session_starts_not_checked() {
    let mut route = up().at(10).route();
    route.begin_session(at(50));
    assert_eq!(route.health, NotChecked);
    assert_eq!(route.health_updated_at, Some(at(50)));
    assert_eq!(route.health_observed_at, None);
    assert!(!route.is_ready() && !route.once_healthy);
}
