//! Abort: back to the current revision.

use viridian_strategy::{
    DeploymentState, IntOrPercent, Lifecycle,
    verbs::AbortRejection::{self, NotDeploying, RollingBack},
};

use crate::case::{
    DecisionCase, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Terminated, Unhealthy,
    awaiting, blue, case, deploying, destroying, green, line, pending, ready,
};

const ONE: IntOrPercent = IntOrPercent::Count(1);

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

#[test]
fn blue_green_goes_back_at_once() {
    let mixed = [
        serving(),
        green(Running, Healthy),
        green(Provisioning, NotChecked),
        green(Running, Unhealthy),
    ];
    let back = "READY blue by roll-back, drain 4 5 6";
    let rows = [
        ("PROVISIONING", deploying(3, mixed), back),
        ("AWAITING_PROMOTION", awaiting(3, mixed), back),
        ("paused", awaiting(3, mixed).paused(), back),
        (
            "blue is brought to N again",
            deploying(3, [blue(Running, Healthy), green(Running, Healthy)]),
            "READY blue by roll-back, create 2 blue ACTIVE, drain 2",
        ),
        (
            "blue is not well: that is no reason to touch it",
            deploying(1, [blue(Running, Unhealthy), green(Running, Healthy)]),
            "READY blue by roll-back, drain 2",
        ),
        (
            "no green is left",
            deploying(3, [serving(), green(Terminated, Healthy).times(3)]),
            "READY blue by roll-back",
        ),
    ];
    for (name, case, expected) in rows {
        assert_eq!(case.abort().as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn rolling_goes_back_step_by_step() {
    let half = [
        blue(Running, Healthy),
        green(Running, Healthy).active().times(2),
    ];
    let mut case = deploying(3, half).rolling(ONE, IntOrPercent::Count(0));
    assert_eq!(case.abort().as_deref(), Ok("ROLLING_BACK"));
    case.do_abort().expect("it is DEPLOYING");
    assert_eq!(case.says(), "ROLLING_BACK, create 1 blue ACTIVE");
    case.settle();
    case.report(4, Running, Healthy);
    assert_eq!(case.says(), "ROLLING_BACK, create 1 blue ACTIVE, drain 3");
    case.settle();
    case.report(5, Running, Healthy);
    assert_eq!(case.says(), "READY blue by roll-back, drain 2, wake 100");
}

#[test]
fn rolling_takes_its_steps_once_it_is_resumed() {
    let half = [
        blue(Running, Healthy),
        green(Running, Healthy).active().times(2),
    ];
    let mut case = deploying(3, half).rolling(ONE, ONE).paused();
    case.do_abort().expect("a pause is not in the way");
    assert_eq!(case.says(), "ROLLING_BACK");
    assert_eq!(case.blockers(), ["the deployment is paused"]);
    case.pause(false).expect("it is paused");
    assert_eq!(case.says(), "ROLLING_BACK, create 2 blue ACTIVE, drain 3");
}

#[test]
fn is_refused() {
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    let rows: [(DecisionCase, AbortRejection); 5] = [
        (pending(3, [serving()]), NotDeploying(Lifecycle::Pending)),
        (ready(3, [serving()]), NotDeploying(Lifecycle::Ready)),
        (deploying(3, [serving()]).rolling_back(), RollingBack),
        (destroying([serving()]), NotDeploying(Lifecycle::Destroying)),
        (tombstone, NotDeploying(Lifecycle::Destroyed)),
    ];
    for (case, expected) in rows {
        assert_eq!(case.abort(), Err(expected));
    }
}

#[test]
fn what_someone_asked_for_has_no_other_cause() {
    let case = deploying(3, [serving()]);
    let transition = case.try_abort().expect("it is DEPLOYING");
    assert_eq!(transition.reason, None, "{}", line(&transition));
}
