//! A roll-back that is not instant: which routes it begins with, what it waits for, and
//! where it leads if nobody says so. Here `other` is the revision before `blue`.

use RolloutOutcome::{Aborted, Failed, Promoted, RolledBack, Superseded};
use verbs::RollBackRejection::{self, AlreadyRolledBack, Gone, InProgress, NoPrevious};
use viridian_strategy::{
    DeploymentState, GateAction, GateTimeout, IntOrPercent::Count, Lifecycle, PastRollouts,
    RevisionId, RolloutEnd, RolloutKind, RolloutOutcome, RouteTraffic, ServedRevisions,
    TransitionKind, verbs,
};

use crate::case::{
    BLUE, DecisionCase, FailedToStart, GREEN, Healthy, NotChecked, OTHER, Provisioning,
    ReplicaSpec, Running, Terminated, Unhealthy, blue, case, deploying, destroying, green, line,
    other, pending, ready, secs,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy)
}

fn kept() -> ReplicaSpec {
    other(Running, Healthy).retained(50)
}

/// What it does, with the gates of the policy.
fn gated(case: &DecisionCase) -> String {
    let back = case.decide(|observed| verbs::roll_back(observed, OTHER, true));
    line(&back.expect("nothing is under way"))
}

#[test]
fn a9_kept_routes_that_are_ready_are_the_first_of_the_way_back() {
    let tired = other(Running, Unhealthy).retained(50);
    let all = || ready(4, [serving().times(4), kept().times(2)]);
    let rows = [
        ("2 of 4 are kept", all(), "PROVISIONING, reuse 5 6"),
        (
            "of those only one is ready",
            ready(2, [serving().times(2), kept(), tired]),
            "PROVISIONING, reuse 3, drain 4",
        ),
        (
            "a pause holds what follows, and not the call",
            all().paused(),
            "PROVISIONING, reuse 5 6",
        ),
        (
            "a route of a third revision goes",
            ready(
                2,
                [
                    serving().times(2),
                    kept(),
                    green(Running, Healthy).retained(50),
                ],
            ),
            "PROVISIONING, reuse 3, drain 4",
        ),
        (
            "rolling: they take traffic, as every new route does",
            all().rolling(Count(1), Count(0)),
            "PROVISIONING, promote 5 6",
        ),
    ];
    for (name, case, expected) in rows {
        assert_eq!(case.roll_back(OTHER).as_deref(), Ok(expected), "{name}");
    }
    // An activation is a way forward, also to a revision that served: it begins afresh.
    let forward = all().activate(OTHER, false);
    assert_eq!(forward.as_deref(), Ok("PROVISIONING, drain 5 6"));
}

#[test]
fn a9_only_what_is_missing_is_started() {
    let mut back = ready(4, [serving().times(4), kept().times(2)]);
    back.do_roll_back(OTHER).expect("nothing is under way");
    assert_eq!(
        back.says(),
        "PROVISIONING, create 2 other INACTIVE, wake 700"
    );
    back.settle();
    back.report_all([7, 8], Running, Healthy);
    let expected = "READY other by promotion, promote 5 6 7 8, retain 1 2 3 4, wake 100";
    assert_eq!(retaining(back).says(), expected);
}

/// A kept route that dies on the way back did not fail in it: it is replaced, and takes
/// nothing from the budget.
#[test]
fn a9_a_kept_route_that_dies_is_one_that_is_missing() {
    let mut back = ready(2, [serving().times(2), kept()]);
    back.do_roll_back(OTHER).expect("nothing is under way");
    back.settle();
    back.report(3, Terminated, Healthy);
    assert_eq!(
        back.says(),
        "PROVISIONING, create 1 other INACTIVE, wake 700"
    );
}

fn retaining(case: DecisionCase) -> DecisionCase {
    case.blue_green(|spec| spec.scale_down_delay = secs(60))
}

/// Rolling never has fewer ready routes in the table than before.
#[test]
fn a9_with_rolling_the_kept_ones_spare_as_many_old_ones() {
    let mut back = ready(4, [serving().times(4), kept().times(2)]).rolling(Count(1), Count(0));
    back.do_roll_back(OTHER).expect("nothing is under way");
    let active = |case: &DecisionCase| {
        case.count(|route| route.traffic == RouteTraffic::Active && route.is_ready())
    };
    assert_eq!(active(&back), 6);
    back.settle();
    assert_eq!(active(&back), 4);
    let old = back.count(|route| route.revision == BLUE && route.is_live());
    assert_eq!(old, 2, "two of them are not needed any more");
}

fn way_back(
    kind: RolloutKind,
    spec: impl FnOnce(&mut viridian_strategy::BlueGreen),
) -> DecisionCase {
    deploying(
        2,
        [serving().times(2), green(Running, Healthy).at(90).times(2)],
    )
    .blue_green(spec)
    .rollout(|rollout| rollout.kind = kind)
}

#[test]
fn b3_the_way_back_has_no_gate_unless_it_is_asked_for() {
    let (ungated, with_gate) = (
        RolloutKind::Back { gated: false },
        RolloutKind::Back { gated: true },
    );
    let switched = "READY green by promotion, promote 3 4, drain 1 2, wake 100";
    let rows = [
        ("a manual gate", way_back(ungated, |_| {}), switched),
        (
            "a delay",
            way_back(ungated, |spec| {
                spec.auto_promote = true;
                spec.promote_delay = secs(600);
            }),
            switched,
        ),
        (
            "min_ready counts",
            way_back(ungated, |spec| spec.min_ready = secs(30)),
            "PROVISIONING, wake 120",
        ),
        (
            "a gate that would turn it back",
            way_back(ungated, |spec| {
                let duration = secs(1);
                let action = GateAction::Rollback;
                spec.gate_timeout = Some(GateTimeout { duration, action });
            }),
            switched,
        ),
        (
            "gated: the manual gate",
            way_back(with_gate, |_| {}),
            "AWAITING_PROMOTION",
        ),
        (
            "gated: the delay",
            way_back(with_gate, |spec| {
                spec.auto_promote = true;
                spec.promote_delay = secs(600);
            }),
            "AWAITING_PROMOTION, wake 690",
        ),
        (
            "a way forward has its gate",
            way_back(RolloutKind::Forward, |_| {}),
            "AWAITING_PROMOTION",
        ),
    ];
    for (name, case, expected) in rows {
        assert_eq!(case.says(), expected, "{name}");
    }
    let paused = way_back(ungated, |_| {}).paused();
    assert_eq!(paused.says(), "PROVISIONING", "a pause holds it");
}

/// The gate is for someone to look first, so that nothing is switched at once.
#[test]
fn b3_a_gated_roll_back_is_never_instant() {
    let mut back = ready(2, [serving().times(2), kept().times(2)]);
    assert_eq!(gated(&back), "PROVISIONING, reuse 3 4");
    let transition = back.decide(|observed| verbs::roll_back(observed, OTHER, true));
    back.apply(&transition.expect("nothing is under way"));
    assert_eq!(back.says(), "AWAITING_PROMOTION");
    back.settle();
    back.do_promote().expect("they are ready");
    assert_eq!(
        back.deployment.state,
        DeploymentState::Ready { current: OTHER }
    );
}

/// It can fail as any rollout can: then what served before it serves on.
#[test]
fn b3_a_way_back_that_fails_leaves_what_serves() {
    let failed = deploying(
        2,
        [
            serving().times(2),
            green(FailedToStart, NotChecked).times(2),
        ],
    )
    .rollout(|rollout| rollout.kind = RolloutKind::Back { gated: false });
    assert_eq!(failed.says(), "READY blue by roll-back, wake 100");
    let end = failed.evaluate().transition.ended.expect("it is over");
    assert!(end.is_way_back);
}

fn served(revisions: &[RevisionId]) -> ServedRevisions {
    revisions.iter().copied().collect()
}

fn ended(outcome: RolloutOutcome, is_way_back: bool) -> Option<RolloutEnd> {
    Some(RolloutEnd {
        revision: GREEN,
        outcome,
        is_way_back,
        failure: None,
    })
}

#[test]
fn b2_without_a_name_it_leads_to_what_served_before() {
    let serves = ready(1, [serving()]);
    let gave_up = |outcome| (served(&[OTHER]), ended(outcome, false));
    let left = Err(AlreadyRolledBack { left: GREEN });
    let in_progress = Err(InProgress { deploying: GREEN });
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    type Past = (ServedRevisions, Option<RolloutEnd>);
    let rows: [(&str, &DecisionCase, Past, Result<_, RollBackRejection>); 13] = [
        (
            "the last that served",
            &serves,
            (served(&[GREEN, OTHER]), None),
            Ok(OTHER),
        ),
        ("after a promotion", &serves, gave_up(Promoted), Ok(OTHER)),
        (
            "nothing served before",
            &serves,
            (served(&[]), None),
            Err(NoPrevious),
        ),
        ("it went back by itself", &serves, gave_up(RolledBack), left),
        ("it was aborted", &serves, gave_up(Aborted), left),
        ("it was superseded", &serves, gave_up(Superseded), Ok(OTHER)),
        (
            "a first one never came up",
            &serves,
            gave_up(Failed),
            Ok(OTHER),
        ),
        (
            "a way back that failed leaves what was to be left",
            &serves,
            (served(&[OTHER]), ended(RolledBack, true)),
            Ok(OTHER),
        ),
        (
            "or one that was aborted",
            &serves,
            (served(&[OTHER]), ended(Aborted, true)),
            Ok(OTHER),
        ),
        (
            "PENDING",
            &pending(1, []),
            (served(&[]), None),
            Err(NoPrevious),
        ),
        (
            "a rollout is under way",
            &deploying(1, [serving(), green(Provisioning, NotChecked)]),
            gave_up(RolledBack),
            in_progress,
        ),
        (
            "it is being deleted",
            &destroying([serving()]),
            gave_up(Promoted),
            Err(Gone(Lifecycle::Destroying)),
        ),
        (
            "it is gone",
            &tombstone,
            gave_up(Promoted),
            Err(Gone(Lifecycle::Destroyed)),
        ),
    ];
    for (name, case, (served, last), expected) in rows {
        let past = PastRollouts { served, last };
        let said = verbs::roll_back_target(&case.deployment.state, &past);
        assert_eq!(said, expected, "{name}");
    }
}

/// The story of the report: 2 is bad, 1 is good, and a script rolls back twice.
#[test]
fn b2_a_second_roll_back_leads_further_back() {
    let mut case = retaining(ready(1, [serving()]));
    let target = |case: &DecisionCase| verbs::roll_back_target(&case.deployment.state, &case.past);
    for (revision, route) in [(GREEN, 2), (OTHER, 3)] {
        let activated = case.try_activate(revision, false).expect("it is another");
        case.apply(&activated);
        case.settle();
        case.report(route, Running, Healthy);
        case.settle();
        case.do_promote().expect("it is ready");
        case.settle();
    }
    assert_eq!(target(&case), Ok(GREEN));
    case.do_roll_back(GREEN).expect("it is kept");
    case.settle();
    assert_eq!(
        target(&case),
        Ok(BLUE),
        "and not forward to what was just left"
    );
    let back = case.try_roll_back(BLUE).expect("nothing is under way");
    assert_eq!(back.kind, TransitionKind::Step, "its routes are gone");
    case.apply(&back);
    case.settle();
    case.report(4, Running, Healthy);
    case.settle();
    assert_eq!(
        case.deployment.state,
        DeploymentState::Ready { current: BLUE }
    );
    assert_eq!(target(&case), Err(NoPrevious));
}

/// Without replicas a revision gives way without a promotion, and is the way back all the same;
/// also where the rollout before was given up.
#[test]
fn b2_what_is_replaced_directly_is_a_way_back_too() {
    let target = |case: &DecisionCase| verbs::roll_back_target(&case.deployment.state, &case.past);
    let mut case = ready(0, []);
    case.past.last = ended(Aborted, false);
    assert_eq!(target(&case), Err(AlreadyRolledBack { left: GREEN }));
    let replaced = case.try_activate(OTHER, false).expect("it is another");
    case.apply(&replaced);
    assert_eq!(
        case.deployment.state,
        DeploymentState::Ready { current: OTHER }
    );
    assert_eq!(target(&case), Ok(BLUE));
    let back = case.try_roll_back(BLUE).expect("nothing is under way");
    case.apply(&back);
    assert_eq!(
        case.deployment.state,
        DeploymentState::Ready { current: BLUE }
    );
    assert_eq!(target(&case), Err(NoPrevious), "and not forward");

    // What was never READY is nothing to go back to.
    let mut case = pending(0, []);
    let replaced = case.try_activate(OTHER, false).expect("it is another");
    case.apply(&replaced);
    assert_eq!(target(&case), Err(NoPrevious));
}
