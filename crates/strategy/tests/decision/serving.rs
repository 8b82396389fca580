//! The traffic table: the healthy ones, or else fail open.

use viridian_strategy::{RouteTraffic, ServingRoute, TrafficSplit};

use crate::case::{
    Degraded, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Terminating, Unhealthy,
    blue, deploying, green, other, ready,
};

fn lists(routes: impl IntoIterator<Item = ReplicaSpec>) -> Vec<u128> {
    let case = ready(3, routes);
    let split = TrafficSplit::of(&case.deployment.state);
    let serving = split.shares(&case.routes).routes;
    serving.iter().map(|route| route.id.0.as_u128()).collect()
}

#[test]
fn lists_active_routes_that_are_ready() {
    let listed = lists([
        blue(Running, Healthy),
        blue(Running, Unhealthy),
        blue(Running, Degraded),
        blue(Running, NotChecked),
        blue(Provisioning, Healthy),
        blue(Terminating, Healthy),
        green(Running, Healthy),
        other(Running, Healthy).retained(50),
        blue(Running, Healthy),
    ]);
    assert_eq!(listed, [1, 9]);
}

#[test]
fn lists_active_routes_that_run_when_none_is_ready() {
    let listed = lists([
        blue(Running, Unhealthy),
        blue(Running, Degraded),
        blue(Running, NotChecked),
        blue(Provisioning, NotChecked),
        blue(Terminating, Healthy),
        green(Running, Healthy),
    ]);
    assert_eq!(listed, [1, 2, 3]);
}

/// Also those of a revision that was superseded, which the split does not name.
#[test]
fn a_route_that_serves_has_the_whole_ratio() {
    let routes = [blue(Running, Healthy), green(Running, Healthy).active()];
    let superseded = other(Running, Healthy).active();
    let case = deploying(2, routes.into_iter().chain([superseded]));
    let split = TrafficSplit::of(&case.deployment.state);
    let serving = split.shares(&case.routes);
    assert!(serving.weights.is_empty(), "no weights: all are alike");
    let expected = case.routes.iter().map(|route| ServingRoute {
        id: route.id,
        revision: route.revision,
        ratio: 1.0,
    });
    assert_eq!(serving.routes, expected.collect::<Vec<_>>());
}

#[test]
fn all_of_the_traffic_or_none_is_a_routes_share() {
    assert_eq!(RouteTraffic::Active.ratio(), 1.0);
    assert_eq!(RouteTraffic::Inactive.ratio(), 0.0);
}

#[test]
fn lists_none_when_none_runs() {
    assert!(lists([]).is_empty());
    assert!(lists([blue(Provisioning, NotChecked), green(Running, Healthy)]).is_empty());
}
