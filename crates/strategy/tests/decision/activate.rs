//! Activation: what begins, and what is refused.

use viridian_strategy::{
    DeploymentState, IntOrPercent, Lifecycle, RevisionId, Rollout,
    verbs::ActivateRejection::{self, AlreadyCurrent, Gone, InProgress},
};

use crate::case::{
    BLUE, DecisionCase, GREEN, GREENS, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec,
    Running, Terminated, Terminating, Unhealthy, at, awaiting, blue, case, deploying, destroying,
    green, other, pending, ready,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

#[test]
fn begins() {
    let mixed = [
        green(Running, Healthy),
        green(Provisioning, NotChecked),
        green(Terminated, Healthy),
        green(Terminating, Healthy).drained(9),
    ];
    let with_green = || std::iter::once(serving()).chain(mixed);
    let one = IntOrPercent::Count(1);
    let idle = case(DeploymentState::Pending { current: None }, 3, []);
    let rows: [(&str, DecisionCase, RevisionId, bool, &str); 10] = [
        (
            "PENDING without a revision",
            idle,
            GREEN,
            false,
            "PENDING green, create 3 green ACTIVE",
        ),
        (
            "PENDING: the current one is replaced directly",
            pending(
                3,
                [blue(Running, Unhealthy), blue(Provisioning, NotChecked)],
            ),
            GREEN,
            false,
            "PENDING green, create 3 green ACTIVE, drain 1 2",
        ),
        (
            "PENDING: supersede makes no difference",
            pending(2, [blue(Terminated, Healthy)]),
            GREEN,
            true,
            "PENDING green, create 2 green ACTIVE",
        ),
        ("READY", ready(3, [serving()]), GREEN, false, "PROVISIONING"),
        (
            "READY: what was retained is drained",
            ready(
                3,
                [serving(), other(Running, Healthy).retained(50).times(2)],
            ),
            GREEN,
            false,
            "PROVISIONING, drain 4 5",
        ),
        (
            "READY and blue is dead: through the strategy all the same",
            ready(3, [blue(Terminated, Healthy).times(3)]),
            GREEN,
            false,
            "PROVISIONING",
        ),
        (
            "supersede drains the old green, not blue",
            deploying(3, with_green()),
            OTHER,
            true,
            "PROVISIONING, drain 4 5",
        ),
        (
            "supersede at the gate",
            awaiting(3, [serving(), green(Running, Healthy).times(3)]),
            OTHER,
            true,
            "PROVISIONING, drain 4 5 6",
        ),
        (
            "supersede drains what was retained, of whatever revision",
            deploying(
                1,
                [blue(Running, Healthy), blue(Running, Healthy).retained(50)],
            ),
            OTHER,
            true,
            "PROVISIONING, drain 2",
        ),
        (
            "supersede while rolling: the old green serves until it is replaced",
            deploying(3, [serving(), green(Running, Healthy).active()]).rolling(one, one),
            OTHER,
            true,
            "PROVISIONING",
        ),
    ];
    for (name, case, revision, supersede, expected) in rows {
        let said = case.activate(revision, supersede);
        assert_eq!(said.as_deref(), Ok(expected), "{name}");
    }
}

#[test]
fn is_refused() {
    let deploying = || deploying(3, [serving(), green(Running, Healthy).times(3)]);
    let in_progress = InProgress { deploying: GREEN };
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    let rows: [(DecisionCase, RevisionId, bool, ActivateRejection); 9] = [
        (
            destroying([serving()]),
            BLUE,
            false,
            Gone(Lifecycle::Destroying),
        ),
        (pending(3, [serving()]), BLUE, false, AlreadyCurrent),
        (ready(3, [serving()]), BLUE, false, AlreadyCurrent),
        (deploying(), BLUE, true, AlreadyCurrent),
        (deploying(), OTHER, false, in_progress),
        (deploying(), GREEN, false, in_progress),
        (deploying().rolling_back(), OTHER, false, in_progress),
        (
            destroying([serving()]),
            GREEN,
            true,
            Gone(Lifecycle::Destroying),
        ),
        (tombstone, GREEN, false, Gone(Lifecycle::Destroyed)),
    ];
    for (case, revision, supersede, expected) in rows {
        assert_eq!(case.activate(revision, supersede), Err(expected));
    }
}

#[test]
fn a_rollout_begins_with_fresh_clocks() {
    let fresh =
        |deploying| DeploymentState::Deploying(Rollout::new(BLUE, deploying, GREENS + 1, at(100)));
    let begun = ready(3, [serving()]).try_activate(GREEN, false);
    assert_eq!(begun.map(|begun| begun.deployment.state), Ok(fresh(GREEN)));
    let superseded = awaiting(3, [serving()]).try_activate(OTHER, true);
    assert_eq!(
        superseded.map(|begun| begun.deployment.state),
        Ok(fresh(OTHER))
    );
}

#[test]
fn failures_before_a_rollout_do_not_count_in_it() {
    let mut case = deploying(3, [serving(), green(Terminated, Healthy).times(3)]);
    case.settle();
    assert!(case.is_ready(), "rolled back");
    case.now = at(200);
    let again = case.try_activate(GREEN, false).expect("it is not current");
    case.apply(&again);
    assert_eq!(
        case.says(),
        "PROVISIONING, create 3 green INACTIVE, wake 800"
    );
}

#[test]
fn a_fix_can_be_shipped_over_a_version_that_never_came_up() {
    let mut case = pending(2, [blue(Terminated, Healthy).at(90).times(2)]);
    let fix = case.try_activate(GREEN, false).expect("it is PENDING");
    case.apply(&fix);
    assert_eq!(case.says(), "PENDING green, wake 700");
    case.report_all(3..=4, Running, Healthy);
    assert_eq!(case.says(), "READY green");
}

#[test]
fn a_superseded_rollout_promotes_only_the_newest() {
    let mut case = awaiting(
        2,
        [
            blue(Running, Healthy).times(2),
            green(Running, Healthy).times(2),
        ],
    );
    let newer = case.try_activate(OTHER, true).expect("it supersedes");
    case.apply(&newer);
    case.settle();
    case.report_all(5..=6, Running, Healthy);
    assert_eq!(
        case.promote().as_deref(),
        Ok("READY other by promotion, promote 5 6, drain 1 2")
    );
}
