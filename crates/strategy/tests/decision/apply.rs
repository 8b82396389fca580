//! Apply: what a deployment is to be, decided as a whole.

use viridian_strategy::{
    BlueGreen, DeploymentState, IntOrPercent, Lifecycle, Policy, RevisionId, Strategy,
    verbs::{
        self, ActivateRejection, ApplyDecision, ApplyRejection,
        RevisionChange::{Abort, Activate, Keep},
        UpdateRejection, WantedRevision, WantedState,
    },
};

use crate::case::{
    BLUE, DecisionCase, GREEN, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec, Running, at,
    awaiting, blue, case, deploying, destroying, green, line, pending, ready,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn at_the_gate() -> DecisionCase {
    awaiting(3, [serving(), green(Running, Healthy).times(3)])
}

/// Wants a revision, which is the same as one that there is or as none.
fn wanted(case: &DecisionCase, same_as: RevisionId) -> WantedRevision {
    let state = case.deployment.state;
    WantedRevision {
        new: OTHER,
        is_current: state.current() == Some(same_as),
        is_deploying: state.deploying() == Some(same_as),
    }
}

fn apply(
    case: &DecisionCase,
    target_replicas: u32,
    policy: &Policy,
    same_as: Option<RevisionId>,
    supersede: bool,
) -> Result<ApplyDecision, ApplyRejection> {
    let wanted = WantedState {
        target_replicas,
        policy,
        revision: same_as.map(|it| wanted(case, it)),
        supersede,
    };
    case.decide(|observed| verbs::apply(observed, wanted))
}

/// The same with the settings as they are.
fn deploy(
    case: &DecisionCase,
    same_as: RevisionId,
    supersede: bool,
) -> Result<ApplyDecision, ApplyRejection> {
    let target = case.deployment.target_replicas;
    apply(case, target, &case.policy, Some(same_as), supersede)
}

fn automatic() -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            auto_promote: true,
            ..BlueGreen::default()
        }),
        ..Policy::default()
    }
}

fn in_progress() -> ApplyRejection {
    ApplyRejection::Activate(ActivateRejection::InProgress { deploying: GREEN })
}

#[test]
fn b6_what_serves_or_is_on_its_way_is_not_deployed_again() {
    let idle = case(DeploymentState::Pending { current: None }, 3, []);
    let rolling_back = deploying(3, [serving(), green(Running, Healthy)])
        .rolling(IntOrPercent::Count(1), IntOrPercent::Count(0))
        .rolling_back();
    let rows = [
        (
            "READY, the same",
            ready(3, [serving()]),
            BLUE,
            false,
            Ok(Keep),
        ),
        (
            "READY, another",
            ready(3, [serving()]),
            OTHER,
            false,
            Ok(Activate),
        ),
        (
            "PENDING, the same",
            pending(3, [blue(Provisioning, NotChecked)]),
            BLUE,
            false,
            Ok(Keep),
        ),
        ("idle", idle, OTHER, false, Ok(Activate)),
        ("on its way", at_the_gate(), GREEN, false, Ok(Keep)),
        (
            "on its way, superseding",
            at_the_gate(),
            GREEN,
            true,
            Ok(Keep),
        ),
        (
            "what serves",
            at_the_gate(),
            BLUE,
            false,
            Err(in_progress()),
        ),
        (
            "what serves, superseding",
            at_the_gate(),
            BLUE,
            true,
            Ok(Abort),
        ),
        ("a third", at_the_gate(), OTHER, false, Err(in_progress())),
        (
            "a third, superseding",
            at_the_gate(),
            OTHER,
            true,
            Ok(Activate),
        ),
        (
            "going back to it",
            rolling_back.clone(),
            BLUE,
            false,
            Ok(Keep),
        ),
        (
            "going back from it",
            rolling_back.clone(),
            GREEN,
            false,
            Err(in_progress()),
        ),
        (
            "going back from it, superseding",
            rolling_back,
            GREEN,
            true,
            Ok(Activate),
        ),
    ];
    for (name, case, same_as, supersede, expected) in rows {
        let applied = deploy(&case, same_as, supersede);
        assert_eq!(applied.map(|it| it.revision), expected, "{name}");
    }
}

#[test]
fn b6_to_give_a_rollout_up_for_what_serves_is_an_abort() {
    let aborted = deploy(&at_the_gate(), BLUE, true).expect("it is given up");
    assert_eq!(
        line(&aborted.transition),
        "READY blue by roll-back, drain 4 5 6"
    );
    assert_eq!(Ok(line(&aborted.transition)), at_the_gate().abort());
}

#[test]
fn b1_the_old_green_is_never_promoted_by_the_new_policy() {
    let case = at_the_gate();
    let refused = apply(&case, 3, &automatic(), Some(OTHER), false);
    assert_eq!(refused, Err(in_progress()), "as a whole");

    let applied = apply(&case, 3, &automatic(), Some(OTHER), true).expect("it supersedes");
    assert_eq!(line(&applied.transition), "PROVISIONING, drain 4 5 6");
    let rollout = applied.transition.deployment.state.rollout().copied();
    let rollout = rollout.expect("a rollout");
    assert_eq!((rollout.deploying, rollout.since), (OTHER, at(100)));
}

#[test]
fn b1_the_policy_that_decides_is_the_new_one_and_so_is_the_target() {
    let case = pending(3, [blue(Provisioning, NotChecked)]);
    let policy = case.policy.clone();
    let applied = apply(&case, 5, &policy, Some(OTHER), false).expect("it is direct");
    assert_eq!(
        line(&applied.transition),
        "PENDING other, create 5 other ACTIVE, drain 1"
    );

    let aborted = apply(&at_the_gate(), 4, &automatic(), Some(BLUE), true).expect("an abort");
    assert_eq!(
        line(&aborted.transition),
        "READY blue by roll-back, create 1 blue ACTIVE, drain 4 5 6"
    );
    assert_eq!(aborted.transition.deployment.target_replicas, 4);
}

#[test]
fn b1_an_apply_is_one_change() {
    let case = at_the_gate();
    for (same_as, supersede) in [(None, false), (Some(OTHER), true), (Some(BLUE), true)] {
        let applied = apply(&case, 5, &automatic(), same_as, supersede).expect("it is done");
        let generation = applied.transition.deployment.generation;
        assert_eq!(generation, case.deployment.generation + 1, "{same_as:?}");
        assert!(applied.transition.by_request);
    }
}

#[test]
fn what_an_update_is_refused_for_an_apply_is_too() {
    let rolling = ready(3, [])
        .rolling(IntOrPercent::Count(1), IntOrPercent::Count(0))
        .policy;
    let refused = apply(&at_the_gate(), 3, &rolling, Some(OTHER), true);
    let in_use = ApplyRejection::Update(UpdateRejection::StrategyInUse);
    assert_eq!(refused, Err(in_use));
    let gone = ApplyRejection::Update(UpdateRejection::Gone(Lifecycle::Destroying));
    assert_eq!(deploy(&destroying([serving()]), OTHER, true), Err(gone));
    let too_many = ApplyRejection::Update(UpdateRejection::TooManyReplicas);
    let case = ready(3, [serving()]);
    let policy = case.policy.clone();
    assert_eq!(
        apply(&case, 1_001, &policy, Some(OTHER), false),
        Err(too_many)
    );
}

#[test]
fn a_strategy_may_change_together_with_the_revision() {
    let case = ready(3, [serving()]);
    let rolling = case
        .clone()
        .rolling(IntOrPercent::Count(1), IntOrPercent::Count(0))
        .policy;
    let applied = apply(&case, 3, &rolling, Some(OTHER), false).expect("nothing is deployed");
    assert_eq!(line(&applied.transition), "PROVISIONING");
}
