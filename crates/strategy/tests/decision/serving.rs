//! The traffic table: the healthy ones, or else fail open.

use viridian_strategy::{Traffic, serving};

use crate::scene::{
    Degraded, Healthy, NotChecked, Provisioning, Replica, Running, Terminating, Unhealthy, blue,
    green, other, ready,
};

fn lists(routes: impl IntoIterator<Item = Replica>) -> Vec<u128> {
    let scene = ready(3, routes);
    serving(&scene.routes)
        .map(|route| route.id.0.as_u128())
        .collect()
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

#[test]
fn all_of_the_traffic_or_none_is_a_routes_share() {
    assert_eq!(Traffic::Active.ratio(), 1.0);
    assert_eq!(Traffic::Inactive.ratio(), 0.0);
}

#[test]
fn lists_none_when_none_runs() {
    assert!(lists([]).is_empty());
    assert!(lists([blue(Provisioning, NotChecked), green(Running, Healthy)]).is_empty());
}
