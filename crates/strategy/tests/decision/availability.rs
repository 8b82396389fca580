//! How well a deployment serves: by the ready ACTIVE routes, whatever its lifecycle says.

use viridian_strategy::{
    Availability::{self, Available, Idle},
    DeploymentState, IntOrPercent, availability,
};

use crate::case::{
    BLUE, DecisionCase, Degraded, Healthy, NotChecked, Provisioning, Running, Terminated,
    Terminating, Unhealthy, awaiting, blue, case, deploying, destroying, green, other, pending,
    ready,
};

fn of(case: &DecisionCase) -> Option<Availability> {
    availability(&case.deployment, &case.routes)
}

#[test]
fn c1_a_ready_deployment_whose_routes_are_all_broken_is_unavailable() {
    for health in [Unhealthy, Degraded, NotChecked] {
        let broken = ready(2, [blue(Running, health).times(2)]);
        assert_eq!(of(&broken), Some(Availability::Unavailable), "{health:?}");
    }
    let one_left = ready(2, [blue(Running, Healthy), blue(Running, Unhealthy)]);
    assert_eq!(of(&one_left), Some(Availability::Degraded));
    let well = ready(2, [blue(Running, Healthy).times(2)]);
    assert_eq!(of(&well), Some(Available));
}

#[test]
fn c1_only_ready_routes_with_traffic_count() {
    let rest = [
        blue(Running, Healthy).inactive(),
        blue(Provisioning, NotChecked),
        blue(Terminating, Healthy).drained(50),
        blue(Terminated, Healthy),
        other(Running, Healthy).retained(50),
        green(Running, Healthy),
    ];
    assert_eq!(of(&ready(1, rest)), Some(Availability::Unavailable));
    // Green is ready and has no traffic: at the gate the dead blue is what counts.
    let dead_blue = awaiting(
        2,
        [
            blue(Running, Unhealthy).times(2),
            green(Running, Healthy).times(2),
        ],
    );
    assert_eq!(of(&dead_blue), Some(Availability::Unavailable));
}

#[test]
fn c1_more_than_the_target_is_available_and_a_grown_target_is_not() {
    let routes = [blue(Running, Healthy).times(3)];
    assert_eq!(of(&ready(2, routes)), Some(Available));
    assert_eq!(of(&ready(6, routes)), Some(Availability::Degraded));
}

/// Routes of both revisions serve.
#[test]
fn c1_in_a_rolling_update_both_revisions_count() {
    let one = IntOrPercent::Count(1);
    let routes = [
        blue(Running, Healthy).times(2),
        green(Running, Healthy).active(),
    ];
    assert_eq!(of(&deploying(3, routes).rolling(one, one)), Some(Available));
    assert_eq!(
        of(&deploying(4, routes).rolling(one, one)),
        Some(Availability::Degraded)
    );
}

#[test]
fn c1_a_pause_hides_nothing() {
    let broken = ready(2, [blue(Running, Unhealthy).times(2)]).paused();
    assert_eq!(of(&broken), Some(Availability::Unavailable));
}

#[test]
fn c1_zero_replicas_are_idle() {
    assert_eq!(of(&ready(0, [])), Some(Idle));
    assert_eq!(of(&ready(0, [blue(Running, Healthy)])), Some(Idle));
    assert_eq!(of(&pending(0, [])), Some(Idle));
}

#[test]
fn c1_a_first_revision_that_comes_up_is_not_available_yet() {
    let coming = pending(2, [blue(Running, Healthy), blue(Provisioning, NotChecked)]);
    assert_eq!(of(&coming), Some(Availability::Degraded));
    let none = pending(2, [blue(Provisioning, NotChecked).times(2)]);
    assert_eq!(of(&none), Some(Availability::Unavailable));
}

#[test]
fn c1_of_what_nothing_is_asked_nothing_is_said() {
    let none = DeploymentState::Pending { current: None };
    let tombstone = DeploymentState::Destroyed {
        current: Some(BLUE),
    };
    for case in [
        case(none, 3, []),
        destroying([blue(Running, Healthy).times(3)]),
        case(tombstone, 3, []),
    ] {
        assert_eq!(of(&case), None, "{:?}", case.deployment.state);
    }
}

#[test]
fn its_names_are_those_of_the_api() {
    let names = [
        Available,
        Availability::Degraded,
        Availability::Unavailable,
        Idle,
    ]
    .map(Availability::as_str);
    assert_eq!(names, ["AVAILABLE", "DEGRADED", "UNAVAILABLE", "IDLE"]);
}
