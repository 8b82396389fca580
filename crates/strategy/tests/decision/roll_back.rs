//! Rolling back to an earlier revision: at once where it is retained, or else
//! as an activation without a gate. Here `other` is the revision before `blue`.

use viridian_strategy::{
    DeploymentState, Lifecycle,
    verbs::ActivateRejection::{self, AlreadyCurrent, Gone, InProgress},
};

use crate::case::{
    BLUE, DecisionCase, Degraded, GREEN, GREENS, Healthy, NotChecked, OTHER, Provisioning,
    ReplicaSpec, Running, Terminated, Unhealthy, blue, case, deploying, destroying, green, other,
    pending, ready, secs,
};

fn retained() -> ReplicaSpec {
    other(Running, Healthy).retained(50)
}

fn serving() -> ReplicaSpec {
    blue(Running, Healthy)
}

#[test]
fn at_once_when_no_ready_route_is_lost() {
    let broken = blue(Running, Unhealthy);
    let back = "READY other by instant roll-back";
    let rows: [(&str, DecisionCase, String); 9] = [
        (
            "N retained",
            ready(3, [serving().times(3), retained().times(3)]),
            format!("{back}, promote 4 5 6, drain 1 2 3"),
        ),
        (
            "N retained, the current ones are all broken",
            ready(3, [broken.times(3), retained().times(3)]),
            format!("{back}, promote 4 5 6, drain 1 2 3"),
        ),
        (
            "fewer than N, but as many as serve",
            ready(3, [serving(), broken.times(2), retained()]),
            format!("{back}, promote 4, drain 1 2 3"),
        ),
        (
            "nothing serves: one is enough",
            ready(3, [broken.times(3), retained()]),
            format!("{back}, promote 4, drain 1 2 3"),
        ),
        (
            "more serve than N asks for",
            ready(2, [serving().times(3), retained().times(2)]),
            format!("{back}, promote 4 5, drain 1 2 3"),
        ),
        (
            "retained ones that are not ready are drained",
            ready(
                1,
                [serving(), retained(), other(Running, Degraded).retained(50)],
            ),
            format!("{back}, promote 2, drain 1 3"),
        ),
        (
            "routes that start are drained with the rest",
            ready(
                2,
                [blue(Provisioning, NotChecked).times(2), retained().times(2)],
            ),
            format!("{back}, promote 3 4, drain 1 2"),
        ),
        (
            "all have failed",
            ready(2, [blue(Terminated, Healthy).times(2), retained()]),
            format!("{back}, promote 3"),
        ),
        (
            "a pause does not stand in the way back",
            ready(1, [serving(), retained()]).paused(),
            format!("{back}, promote 2, drain 1"),
        ),
    ];
    for (name, case, expected) in rows {
        assert_eq!(case.roll_back(OTHER), Ok(expected), "{name}");
    }
}

#[test]
fn otherwise_by_a_rollout() {
    let tired = other(Running, Unhealthy).retained(50);
    let rows = [
        (
            "nothing is retained",
            ready(2, [serving().times(2)]),
            OTHER,
            "PROVISIONING",
        ),
        (
            "fewer than N are retained, and all N serve",
            ready(3, [serving().times(3), retained().times(2)]),
            OTHER,
            "PROVISIONING, reuse 4 5",
        ),
        (
            "none of the retained is ready",
            ready(1, [blue(Running, Unhealthy), tired]),
            OTHER,
            "PROVISIONING, drain 2",
        ),
        (
            "of N = 0 nothing is retained: it is replaced directly",
            ready(0, []),
            OTHER,
            "READY other",
        ),
        (
            "another revision is retained",
            ready(1, [serving(), retained()]),
            GREEN,
            "PROVISIONING, drain 2",
        ),
        (
            "PENDING: it replaces the current one directly",
            pending(1, [blue(Running, Unhealthy)]),
            OTHER,
            "PENDING other, create 1 other ACTIVE, drain 1",
        ),
    ];
    for (name, case, revision, expected) in rows {
        let said = case.roll_back(revision);
        assert_eq!(said.as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn is_refused() {
    let all = [serving(), green(Running, Healthy)];
    let in_progress = InProgress { deploying: GREEN };
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    let rows: [(DecisionCase, ActivateRejection); 4] = [
        (deploying(1, all), in_progress),
        (deploying(1, all).rolling_back(), in_progress),
        (destroying([serving()]), Gone(Lifecycle::Destroying)),
        (tombstone, Gone(Lifecycle::Destroyed)),
    ];
    for (case, expected) in rows {
        assert_eq!(case.roll_back(OTHER), Err(expected));
    }
    let case = ready(1, [serving(), blue(Running, Healthy).retained(50)]);
    assert_eq!(case.roll_back(BLUE), Err(AlreadyCurrent));
}

#[test]
fn what_took_the_traffic_back_is_kept_from_then_on() {
    let mut case = ready(3, [serving().times(2), retained().times(2)])
        .blue_green(|spec| spec.scale_down_delay = secs(100));
    case.do_roll_back(OTHER).expect("enough are retained");
    assert_eq!(case.deployment.current_activation, GREENS + 1);
    assert_eq!(case.says(), "READY other, create 1 other ACTIVE");
    case.settle();
    case.report(5, Running, Healthy);
    case.pass_to(10_000);
    let active = case.count(|route| route.is_live() && route.revision == OTHER);
    assert_eq!(active, 3, "nothing of it is retained any more");
}
