//! DESTROYING: all routes are drained, then it is a tombstone.

use viridian_strategy::{
    BlockerCode, DeploymentState, Lifecycle,
    verbs::{self, DeleteRejection},
};

use crate::case::{
    Healthy, NotChecked, Provisioning, Running, Terminated, Terminating, blue, case, destroying,
    green, line, other, pending, ready, table,
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

#[test]
fn c5_it_says_how_many_routes_it_waits_for() {
    let drained = blue(Terminating, Healthy).drained(90);
    for (left, sentence) in [
        (1, "1 route is still ending"),
        (2, "2 routes are still ending"),
    ] {
        let case = destroying([drained.times(left), blue(Terminated, Healthy).drained(80)]);
        let evaluation = case.evaluate();
        let codes: Vec<_> = evaluation.blockers.iter().map(|it| it.code()).collect();
        assert_eq!(codes, [BlockerCode::Terminating]);
        assert_eq!(case.blockers(), [sentence]);
        assert_eq!(evaluation.reason(), sentence, "history says the same");
        assert_eq!(evaluation.wake_at, None, "only a report ends the wait");
    }
}

/// Also the look that drains them waits for them, and a pause hides it from nobody.
#[test]
fn c5_a_paused_deletion_says_the_same_from_its_first_look_on() {
    let case = destroying([blue(Running, Healthy).times(2)]).paused();
    assert_eq!(case.says(), "DESTROYING, drain 1 2");
    assert_eq!(case.blockers(), ["2 routes are still ending"]);
}

#[test]
fn c5_what_is_destroyed_waits_for_nothing() {
    assert!(destroying([]).blockers().is_empty());
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    assert!(tombstone.blockers().is_empty());
}

#[test]
fn force_delete_ends_all_routes_at_once() {
    let routes = [
        blue(Running, Healthy),
        green(Provisioning, NotChecked),
        other(Running, Healthy).retained(50),
        blue(Terminating, Healthy).drained(90),
        blue(Terminated, Healthy),
    ];
    for case in [ready(3, routes), pending(3, routes), destroying(routes)] {
        let transition = case.decide(verbs::destroy).expect("it is there");
        assert_eq!(line(&transition), "DESTROYED, end 1 2 3 4");
        assert_eq!(transition.deployment.generation, 2);
    }
    let gone = DeleteRejection::Gone(Lifecycle::Destroyed);
    let case = case(DeploymentState::Destroyed { current: None }, 3, []);
    assert_eq!(case.decide(verbs::destroy), Err(gone));
}
