//! What serves is blue, whatever the lifecycle is called: an activation never takes away what
//! serves.

use viridian_strategy::{
    DeploymentState,
    IntOrPercent::{self, Count},
    TransitionKind,
};

use crate::case::{
    BLUE, DecisionCase, GREEN, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec, Running,
    Terminated, Unhealthy, blue, pending, table,
};

const NONE: IntOrPercent = Count(0);

/// A first revision of which 2 of 3 came up.
fn in_part() -> [ReplicaSpec; 2] {
    let broken = blue(Running, Unhealthy);
    [blue(Running, Healthy).times(2), broken]
}

/// The same, and a fix is activated.
fn fixed(case: &DecisionCase) -> DecisionCase {
    let mut case = case.clone();
    let fix = case.try_activate(GREEN, false).expect("it is not current");
    assert!(fix.actions.is_empty(), "nothing is taken away");
    case.apply(&fix);
    case
}

#[test]
fn a2_a_fix_over_a_first_revision_that_serves_in_part_follows_the_strategy() {
    let case = fixed(&pending(3, in_part()));
    table([
        (
            "blue-green",
            case.clone(),
            "PROVISIONING, create 3 green INACTIVE, wake 700",
        ),
        (
            "rolling",
            fixed(&pending(3, in_part()).rolling(Count(1), NONE)),
            "PROVISIONING, create 1 green ACTIVE, wake 700",
        ),
    ]);
    let mut case = case;
    case.settle();
    case.report_all(4..=6, Running, Healthy);
    assert_eq!(case.says(), "AWAITING_PROMOTION");
    case.do_promote().expect("all green are ready");
    assert_eq!(case.past.served.last(), Some(BLUE), "the way back");
}

/// However it goes back, it has never been READY.
#[test]
fn a2_a_roll_back_ends_pending_again() {
    let blue_green = fixed(&pending(3, in_part()));
    let aborted = blue_green.try_abort().expect("it is being deployed");
    let passed = blue_green.clone().now(10_000).evaluate().transition;
    let pending_again = DeploymentState::Pending {
        current: Some(BLUE),
    };
    for back in [aborted, passed] {
        assert_eq!(back.kind, TransitionKind::RollBack);
        assert_eq!(back.deployment.state, pending_again);
    }
    let mut case = blue_green;
    case.settle();
    case.do_abort().expect("it is being deployed");
    case.settle();
    assert_eq!(case.deployment.state, pending_again);
    case.report(3, Running, Healthy);
    assert_eq!(case.says(), "READY blue", "now it is");

    let mut rolling = fixed(&pending(3, in_part()).rolling(Count(1), NONE));
    rolling.settle();
    rolling.do_abort().expect("it is being deployed");
    rolling.settle();
    rolling.report(3, Running, Healthy);
    rolling.settle();
    assert_eq!(rolling.says(), "READY blue");
}

#[test]
fn a2_only_where_nothing_serves_is_it_replaced_directly() {
    let rows = [
        ("none is ready", vec![blue(Provisioning, NotChecked)], true),
        ("all failed", vec![blue(Terminated, Healthy)], true),
        ("one is ready", vec![blue(Running, Healthy)], false),
        (
            "one is ready, without traffic",
            vec![blue(Running, Healthy).inactive()],
            true,
        ),
    ];
    for (name, routes, directly) in rows {
        let case = pending(3, routes);
        let state = case.try_activate(GREEN, false).expect("it is not current");
        let state = state.deployment.state;
        let is_pending = matches!(state, DeploymentState::Pending { .. });
        assert_eq!(is_pending, directly, "{name}");
    }
}

/// A rollout over a revision that never came up: the same holds for one that supersedes it.
#[test]
fn a2_a_rollout_that_is_superseded_takes_nothing_away_either() {
    let mut case = fixed(&pending(3, in_part()));
    case.settle();
    let superseded = case.try_activate(OTHER, true).expect("it supersedes");
    let rollout = *superseded.deployment.state.rollout().expect("a rollout");
    assert!(rollout.from_pending, "it has never been READY");
    // Meanwhile blue dies: nothing serves, and there is nothing good to go back to.
    case.report_all(1..=3, Terminated, NotChecked);
    assert_eq!(
        case.activate(OTHER, true).as_deref(),
        Ok("PENDING other, create 3 other ACTIVE, drain 4 5 6")
    );
    // Rolling, the new one serves by then.
    let mut case = fixed(&pending(1, [blue(Running, Healthy)]).rolling(Count(1), NONE));
    case.settle();
    case.report(2, Running, Healthy);
    case.report(1, Terminated, NotChecked);
    let superseded = case.try_activate(OTHER, true).expect("it supersedes");
    assert_eq!(superseded.deployment.state.deploying(), Some(OTHER));
    assert!(superseded.actions.drain.is_empty(), "green serves");
}
