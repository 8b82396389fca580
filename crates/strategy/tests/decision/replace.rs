//! New routes for a revision that serves: restarts and drains by hand. A new one comes
//! first.

use viridian_strategy::{
    DeploymentState,
    IntOrPercent::Count,
    Lifecycle, RouteHealth, RouteId, RouteStatus, RouteTraffic,
    verbs::{self, DrainRejection, RestartRejection},
};

use crate::case::{
    BLUE, DecisionCase, FailedToStart, GREEN, Healthy, NotChecked, Provisioning, ReplicaSpec,
    Running, Terminated, Terminating, Unhealthy, at, awaiting, blue, case, deploying, destroying,
    green, other, pending, ready, table,
};

/// The activation of a restart.
const RESTART: i64 = 8;

fn up(count: usize) -> ReplicaSpec {
    blue(Running, Healthy).times(count)
}

/// Routes of the current revision that were created after the restart.
fn newer(status: RouteStatus, health: RouteHealth) -> ReplicaSpec {
    blue(status, health).created(90).at(95).made_in(RESTART)
}

fn restarted(target: u32, routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    let mut case = ready(target, routes);
    case.deployment.last_activation = RESTART;
    case.deployment.current_activation = RESTART;
    case.deployment.restarted = true;
    case
}

fn requested(routes: ReplicaSpec) -> ReplicaSpec {
    routes.drain_requested(80)
}

#[test]
fn a13_a_restart_replaces_the_routes_that_were_there_a_new_one_first() {
    let replaced = |routes: [ReplicaSpec; 2]| restarted(4, routes);
    table([
        (
            "25 % of 4 at a time",
            replaced([up(4), newer(Provisioning, NotChecked).times(0)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "none goes while the new one starts",
            replaced([up(4), newer(Provisioning, NotChecked)]),
            "READY blue",
        ),
        (
            "nor while it is not ready",
            replaced([up(4), newer(Running, Unhealthy)]),
            "READY blue",
        ),
        (
            "one for one that is ready",
            replaced([up(4), newer(Running, Healthy)]),
            "READY blue, create 1 blue ACTIVE, drain 4",
        ),
        (
            "what is not ready goes first",
            replaced([ReplicaSpec::times(up(1), 3), blue(Running, Unhealthy)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "the last one",
            replaced([up(1), newer(Running, Healthy).times(4)]),
            "READY blue, drain 1",
        ),
        (
            "done",
            replaced([up(0), newer(Running, Healthy).times(4)]),
            "READY blue",
        ),
    ]);
    assert_eq!(
        replaced([up(3), newer(Provisioning, NotChecked)]).blockers(),
        [
            "3 of 4 current routes are ready; 2 are starting",
            "3 of 4 routes have yet to be replaced by new ones",
        ]
    );
}

#[test]
fn a13_a_restart_has_the_bounds_of_the_policy() {
    let rolls = restarted(4, [up(4)]).rolling(Count(0), Count(2));
    assert_eq!(rolls.says(), "READY blue, create 2 blue ACTIVE, drain 4 3");
    let unhealthy = blue(Running, Unhealthy).times(4);
    table([
        (
            "a hiccup of the checker takes none",
            restarted(4, [unhealthy, newer(Running, NotChecked)]),
            "READY blue",
        ),
        (
            "a hiccup takes no more than has come",
            restarted(4, [unhealthy, newer(Running, Healthy)]),
            "READY blue, create 1 blue ACTIVE, drain 4",
        ),
        (
            "new ones that fail take none, and wait",
            restarted(
                4,
                [
                    up(4),
                    newer(Terminated, Healthy).at(95),
                    newer(Terminated, Healthy).created(96).at(100),
                ],
            ),
            "READY blue, wake 101",
        ),
    ]);
}

#[test]
fn a13_no_route_goes_for_one_whose_health_no_report_confirms() {
    let fresh = |seconds, routes: [ReplicaSpec; 2]| {
        let [old, new] = routes;
        restarted(2, [old, new.observed(seconds)]).health_ttl(30)
    };
    let one_more = [requested(up(1)), blue(Running, Healthy).created(90).at(95)];
    let drained = |seconds| {
        let [old, new] = one_more;
        ready(1, [old, new.observed(seconds)]).health_ttl(30)
    };
    table([
        (
            "a restart waits",
            fresh(70, [up(2), newer(Running, Healthy)]),
            "READY blue, wake 107.5",
        ),
        (
            "and goes on",
            fresh(95, [up(2), newer(Running, Healthy)]),
            "READY blue, create 1 blue ACTIVE, drain 2",
        ),
        (
            "a drain by hand waits",
            drained(70),
            "READY blue, wake 107.5",
        ),
        ("and is done", drained(95), "READY blue, drain 1"),
    ]);
}

#[test]
fn a13_a_restart_follows_the_target() {
    table([
        (
            "up: only new ones",
            restarted(6, [up(3), newer(Running, Healthy)]),
            "READY blue, create 4 blue ACTIVE",
        ),
        (
            "down: the old ones are surplus",
            restarted(2, [up(3), newer(Running, Healthy)]),
            "READY blue, create 1 blue ACTIVE, drain 3 2",
        ),
        (
            "down, below the new ones",
            restarted(1, [up(2), newer(Running, Healthy).times(2)]),
            "READY blue, drain 2 1 4",
        ),
        (
            "to zero",
            restarted(0, [up(2), newer(Running, Healthy)]),
            "READY blue, drain 2 1 3",
        ),
        (
            "one replica",
            restarted(1, [up(1)]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "an old one that dies is replaced by a new one",
            restarted(3, [up(2), blue(Terminated, Healthy).at(90)]),
            "READY blue, create 2 blue ACTIVE",
        ),
    ]);
}

#[test]
fn a13_a_pause_holds_a_restart_and_an_activation_ends_it() {
    let mut case = restarted(3, [up(3)]);
    case.deployment.paused = true;
    assert_eq!(case.says(), "READY blue");
    assert_eq!(case.blockers(), ["the deployment is paused"]);
    case.deployment.paused = false;
    let activated = case.try_activate(GREEN, false).expect("it is taken");
    assert!(!activated.deployment.restarted);
    case.apply(&activated);
    assert_eq!(
        case.says(),
        "PROVISIONING, create 3 green INACTIVE, wake 700"
    );
}

#[test]
fn a13_a_restart_is_an_activation_of_its_own() {
    let case = ready(3, [up(3)]);
    let transition = case.decide(verbs::restart).expect("it is taken");
    assert!(transition.by_request && transition.actions.is_empty());
    let after = transition.deployment;
    assert_eq!(after.last_activation, case.deployment.last_activation + 1);
    assert_eq!(after.current_activation, after.last_activation);
    assert_eq!(after.generation, case.deployment.generation + 1);
    let mut case = case;
    case.apply(&transition);
    assert_eq!(case.says(), "READY blue, create 1 blue ACTIVE");
    case.cycle();
    assert_eq!(case.routes[3].activation, after.current_activation);
    let again = case.decide(verbs::restart).expect("once more");
    case.apply(&again);
    case.report(4, Running, Healthy);
    let left = case.blockers();
    assert_eq!(left, ["3 of 3 routes have yet to be replaced by new ones"]);
}

#[test]
fn a13_a_restart_is_refused_where_nothing_serves_by_itself() {
    let idle = case(DeploymentState::Pending { current: None }, 3, []);
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    for (case, expected) in [
        (idle, RestartRejection::NoRevision),
        (deploying(3, [up(3)]), RestartRejection::Deploying),
        (awaiting(3, [up(3)]), RestartRejection::Deploying),
        (
            deploying(3, [up(3)]).rolling_back(),
            RestartRejection::Deploying,
        ),
        (ready(3, [up(3)]).paused(), RestartRejection::Paused),
        (
            destroying([up(3)]),
            RestartRejection::Gone(Lifecycle::Destroying),
        ),
        (tombstone, RestartRejection::Gone(Lifecycle::Destroyed)),
    ] {
        assert_eq!(case.decide(verbs::restart), Err(expected));
    }
    assert!(pending(3, [up(2)]).decide(verbs::restart).is_ok());
}

#[test]
fn a13_a_drain_by_hand_waits_for_a_new_one() {
    let new = |status, health| blue(status, health).created(85).at(90);
    table([
        (
            "a new one is created",
            ready(3, [up(2), requested(up(1))]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "it starts",
            ready(3, [up(2), requested(up(1)), new(Provisioning, NotChecked)]),
            "READY blue",
        ),
        (
            "it never becomes ready: nothing is taken",
            ready(3, [up(2), requested(up(1)), new(Running, Unhealthy)]).now(100_000),
            "READY blue",
        ),
        (
            "it is ready",
            ready(3, [up(2), requested(up(1)), new(Running, Healthy)]),
            "READY blue, drain 3",
        ),
        (
            "another one is unhealthy, and not what was asked for",
            ready(
                3,
                [
                    up(1),
                    blue(Running, Unhealthy),
                    requested(up(1)),
                    new(Running, Healthy),
                ],
            ),
            "READY blue, drain 3",
        ),
        (
            "the only one, which serves until a new one does",
            ready(1, [requested(up(1))]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "the last one that serves",
            ready(2, [blue(Running, Unhealthy), requested(up(1))]),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "a paused one is kept at its target all the same",
            ready(1, [requested(up(1)), new(Running, Healthy)]).paused(),
            "READY blue, drain 1",
        ),
        (
            "surplus since then",
            ready(2, [up(2), requested(up(1))]),
            "READY blue, drain 3",
        ),
        (
            "it crashed meanwhile",
            ready(
                3,
                [up(2), blue(Terminated, Healthy).at(90).drain_requested(80)],
            ),
            "READY blue, create 1 blue ACTIVE",
        ),
        (
            "blue of a rollout",
            deploying(
                2,
                [
                    up(1),
                    requested(up(1)),
                    green(Provisioning, NotChecked).times(2),
                ],
            ),
            "PROVISIONING, create 1 blue ACTIVE, wake 600",
        ),
        (
            "a new route of a rolling update counts as an old one",
            deploying(2, [up(1), requested(green(Running, Healthy).active())])
                .rolling(Count(1), Count(0)),
            "PROVISIONING, create 1 green ACTIVE, wake 600",
        ),
        (
            "a smaller target takes not what serves instead of what does not",
            ready(1, [blue(Running, Unhealthy), requested(up(1))]),
            "READY blue",
        ),
    ]);
    let waits = ready(3, [up(2), requested(up(1)), new(Provisioning, NotChecked)]);
    let sentence = "1 of 3 routes has yet to be replaced by a new one";
    assert_eq!(waits.blockers(), [sentence]);
}

#[test]
fn a13_a_drain_is_of_one_route_and_idempotent() {
    let id = |number| RouteId(uuid::Uuid::from_u128(number));
    let drain = |case: &DecisionCase, number| {
        case.decide(|observed| verbs::drain_route(observed, id(number)))
    };
    let mut case = ready(3, [up(3)]);
    let transition = drain(&case, 2).expect("it is taken").expect("it is new");
    assert_eq!(transition.actions.request_drain, [id(2)]);
    assert_eq!(
        transition.deployment.generation,
        case.deployment.generation + 1
    );
    case.apply(&transition);
    assert_eq!(case.routes[1].drain_requested_at, Some(at(100)));
    assert_eq!(drain(&case, 2), Ok(None), "once is enough");
    for (what, case) in [
        (
            "green has no traffic",
            awaiting(1, [up(1), green(Running, Healthy)]),
        ),
        (
            "nor has what is retained",
            ready(1, [up(1), other(Running, Healthy).retained(50)]),
        ),
        ("surplus", ready(1, [up(2)])),
    ] {
        let transition = drain(&case, 2).expect("it is taken").expect("it is new");
        assert_eq!(transition.actions.drain, [id(2)], "{what}");
    }
    for status in [Terminating, Terminated, FailedToStart] {
        let case = ready(3, [up(2), blue(status, Healthy)]);
        assert_eq!(drain(&case, 3), Err(DrainRejection::NotLive), "{status:?}");
    }
    assert_eq!(drain(&case, 9), Err(DrainRejection::NotLive), "not there");
    let traffic = case.routes[1].traffic;
    assert_eq!(traffic, RouteTraffic::Active, "it serves until then");
    assert_eq!(case.routes[1].revision, BLUE);
}
