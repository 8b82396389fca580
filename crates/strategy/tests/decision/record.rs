//! What is recorded of a deployment beside its state: the generation, the revisions that
//! served before the current one, and when a revision last took the traffic.

use viridian_strategy::{
    ObservedDeployment, Policy, ServedChange, Transition, TransitionKind, verbs,
};

use crate::case::{
    BLUE, DecisionCase, GREEN, GREENS, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec,
    Running, Terminated, at, awaiting, blue, deploying, green, other, pending, ready,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn up() -> ReplicaSpec {
    green(Running, Healthy).times(3)
}

fn retained() -> ReplicaSpec {
    other(Running, Healthy).retained(50).times(3)
}

#[test]
fn a_new_deployment_has_generation_1() {
    let created = verbs::create(Some(BLUE), 3);
    assert!(created.by_request);
    let ObservedDeployment {
        generation,
        last_activation,
        current_activation,
        promoted_at,
        ..
    } = created.deployment;
    assert_eq!((generation, last_activation, current_activation), (1, 1, 1));
    let idle = verbs::create(None, 3).deployment;
    assert_eq!((idle.last_activation, idle.current_activation), (0, 0));
    assert_eq!((created.served, promoted_at), (ServedChange::Same, None));
}

#[test]
fn each_call_moves_the_generation_once() {
    let scale = |case: &DecisionCase| {
        case.decide(|observed| verbs::update(observed, 5, &Policy::default()))
            .expect("update")
    };
    let paused = |case: DecisionCase| case.decide(verbs::pause).expect("pause");
    let resumed = |case: DecisionCase| case.paused().decide(verbs::resume).expect("resume");
    let at_gate = || awaiting(3, [serving(), up()]);
    let calls: [(&str, Transition); 9] = [
        ("activate", activated(&ready(3, [serving()]))),
        ("activate over PENDING", activated(&pending(3, [serving()]))),
        (
            "promote",
            at_gate().decide(verbs::promote).expect("promote"),
        ),
        ("abort", at_gate().try_abort().expect("abort")),
        ("roll back, instant", rolled_back([serving(), retained()])),
        ("roll back", rolled_back([serving()])),
        ("update", scale(&ready(3, [serving()]))),
        ("pause", paused(ready(3, [serving()]))),
        ("resume", resumed(ready(3, [serving()]))),
    ];
    for (call, transition) in calls {
        assert!(transition.by_request, "{call}");
        assert_eq!(transition.deployment.generation, 2, "{call}");
    }
}

fn activated(case: &DecisionCase) -> Transition {
    case.try_activate(GREEN, false).expect("activate")
}

fn rolled_back(routes: impl IntoIterator<Item = ReplicaSpec>) -> Transition {
    ready(3, routes).try_roll_back(OTHER).expect("roll back")
}

#[test]
fn without_a_call_only_a_promotion_or_a_roll_back_moves_the_generation() {
    let lost = green(Terminated, Healthy).times(3);
    let cases = [
        (TransitionKind::Step, 1, pending(3, [serving()])),
        (TransitionKind::Step, 1, ready(4, [serving()])),
        (TransitionKind::Step, 1, deploying(3, [serving()])),
        (
            TransitionKind::Promotion,
            2,
            awaiting(3, [serving(), up()]).auto(0),
        ),
        (TransitionKind::RollBack, 2, deploying(3, [serving(), lost])),
    ];
    for (kind, generation, case) in cases {
        let transition = case.evaluate().transition;
        assert!(!transition.by_request);
        assert_eq!(transition.kind, kind);
        assert_eq!(transition.deployment.generation, generation, "{kind:?}");
    }
}

#[test]
fn a_promotion_records_what_served_and_when() {
    let at_gate = awaiting(3, [serving(), up()]);
    let by_hand = at_gate.decide(verbs::promote).expect("promote");
    let by_itself = at_gate.auto(0).evaluate().transition;
    for Transition {
        deployment, served, ..
    } in [by_hand, by_itself]
    {
        assert_eq!(deployment.state.current(), Some(GREEN));
        assert_eq!(deployment.current_activation, GREENS);
        assert_eq!(deployment.last_activation, GREENS);
        assert_eq!(served, ServedChange::Push(BLUE));
        assert_eq!(deployment.promoted_at, Some(at(100)));
    }
}

#[test]
fn an_instant_roll_back_records_where_it_leads_and_is_an_activation() {
    let Transition {
        kind,
        deployment,
        served,
        ..
    } = rolled_back([serving(), retained()]);
    assert_eq!(kind, TransitionKind::InstantRollBack);
    assert_eq!(deployment.state.current(), Some(OTHER));
    assert_eq!(deployment.current_activation, GREENS + 1);
    assert_eq!(deployment.last_activation, GREENS + 1);
    assert_eq!(served, ServedChange::BackTo(OTHER));
    assert_eq!(deployment.promoted_at, Some(at(100)));
}

/// Neither is a revision that takes the traffic from another.
#[test]
fn a_roll_back_and_an_activation_record_no_promotion() {
    let starting = green(Provisioning, NotChecked).times(3);
    let case = deploying(3, [serving(), starting]);
    let transitions = [
        case.try_abort().expect("abort"),
        activated(&ready(3, [serving()])),
        activated(&pending(3, [serving()])),
    ];
    for Transition {
        deployment, served, ..
    } in transitions
    {
        assert_eq!((served, deployment.promoted_at), (ServedChange::Same, None));
    }
    let replaced = activated(&pending(3, [])).deployment;
    assert_eq!(
        replaced.current_activation,
        GREENS + 1,
        "older failures do not count"
    );
}
