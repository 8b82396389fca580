//! DESTROYING: all routes are drained, then it is a tombstone.

use viridian_strategy::DeploymentState;

use crate::case::{
    Healthy, NotChecked, Provisioning, Running, Terminated, Terminating, blue, case, destroying,
    green, other, table,
};

#[test]
fn destroying_to_destroyed() {
    table([
        (
            "everything goes, of whatever revision",
            destroying([
                blue(Running, Healthy),
                green(Provisioning, NotChecked),
                other(Running, Healthy).retained(50),
                blue(Terminated, Healthy),
            ]),
            "DESTROYING, drain 1 2 3",
        ),
        (
            "some are on their way out",
            destroying([blue(Terminating, Healthy).drained(90)]),
            "DESTROYING",
        ),
        (
            "all are over",
            destroying([blue(Terminated, Healthy).drained(90)]),
            "DESTROYED",
        ),
        ("there were none", destroying([]), "DESTROYED"),
        (
            "a tombstone stays one",
            case(DeploymentState::Destroyed { current: None }, 3, []),
            "DESTROYED",
        ),
    ]);
}
