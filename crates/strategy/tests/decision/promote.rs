//! A manual promotion asks for all that an automatic one asks for, but the gate
//! and the delay.

use viridian_strategy::{
    Blocker, DeploymentState, IntOrPercent, Lifecycle, SubStep, UnreadyRoutes, counts,
    verbs::PromoteRejection::{self, Blocked, NotBlueGreen, NotDeploying, RollingBack},
};

use crate::case::{
    DecisionCase, Degraded, GREEN, GREENS, Healthy, NotChecked, Provisioning, ReplicaSpec, Running,
    Terminated, Unhealthy, at, awaiting, blue, case, deploying, destroying, green, pending, ready,
    secs, table,
};

const PROMOTED: &str = "READY green by promotion, promote 4 5 6, drain 1 2 3";

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

fn all() -> [ReplicaSpec; 2] {
    [serving(), green(Running, Healthy).at(90).times(3)]
}

#[test]
fn skips_the_gate_and_the_delay() {
    for case in [
        deploying(3, all()),
        awaiting(3, all()),
        deploying(3, all()).auto(600),
        awaiting(3, all()).auto(600),
    ] {
        assert_eq!(case.promote().as_deref(), Ok(PROMOTED));
    }
}

#[test]
fn leaves_ready_with_no_sub_step() {
    let mut case = awaiting(3, all());
    case.do_promote().expect("all green are ready");
    let state = case.deployment.state;
    assert_eq!(state, DeploymentState::Ready { current: GREEN });
    assert_eq!((state.sub_step(), state.deploying()), (None, None));
    assert_eq!(
        awaiting(3, all()).deployment.state.sub_step(),
        Some(SubStep::AwaitingPromotion)
    );
    assert_eq!(
        case.promote(),
        Err(NotDeploying(Lifecycle::Ready)),
        "once is enough"
    );
}

#[test]
fn what_failed_in_the_rollout_counts_from_then_on() {
    let lost = green(Terminated, Healthy).created(20).at(30);
    let routes = [serving(), green(Running, Healthy).times(3), lost];
    let mut case = deploying(3, routes).blue_green(|spec| spec.max_replacements = Some(1));
    case.do_promote().expect("all green are ready");
    assert_eq!(case.deployment.current_activation, GREENS);
    let (current, _) = counts(&case.deployment, &case.routes);
    assert_eq!((current.ready, current.failed), (3, 1));
}

#[test]
fn does_not_skip_min_ready() {
    let case = |min_ready| deploying(3, all()).blue_green(|spec| spec.min_ready = secs(min_ready));
    assert_eq!(case(10).promote().as_deref(), Ok(PROMOTED));
    let until = at(101);
    assert_eq!(
        case(11).promote(),
        Err(Blocked(vec![Blocker::MinReady { until }]))
    );
}

#[test]
fn does_not_skip_a_pause() {
    let case = awaiting(3, all()).paused();
    assert_eq!(case.promote(), Err(Blocked(vec![Blocker::Paused])));
}

#[test]
fn is_refused_with_all_that_is_in_the_way() {
    let said = |case: DecisionCase| match case.promote() {
        Err(Blocked(blockers)) => blockers.iter().map(Blocker::to_string).collect(),
        other => vec![format!("{other:?}")],
    };
    let two = green(Running, Healthy).times(2);
    let rows: [(DecisionCase, &[&str]); 6] = [
        (
            deploying(3, [serving()]),
            &["3 of 3 green routes have yet to be created"],
        ),
        (
            deploying(3, [serving(), two]),
            &["1 of 3 green routes has yet to be created"],
        ),
        (
            deploying(3, [serving(), two, green(Provisioning, NotChecked)]),
            &["2 of 3 green routes are ready; 1 is starting"],
        ),
        (
            deploying(3, [serving(), two, green(Running, Degraded).at(62)]),
            &["2 of 3 green routes are ready; 1 is DEGRADED since 1970-01-01 00:01:02 UTC"],
        ),
        (
            deploying(3, [serving(), two, green(Terminated, Healthy)]),
            &[
                "2 of 3 green routes are ready; 1 failed",
                "failed green routes are not replaced (max_replacements is 0)",
            ],
        ),
        (
            deploying(
                3,
                [
                    serving(),
                    green(Running, NotChecked).at(61),
                    green(Provisioning, NotChecked),
                    green(Terminated, Healthy).times(2),
                ],
            )
            .blue_green(|spec| spec.max_replacements = Some(1)),
            &[
                "0 of 3 green routes are ready; 1 is starting",
                "0 of 3 green routes are ready; 1 is NOT_CHECKED since 1970-01-01 00:01:01 UTC",
                "0 of 3 green routes are ready; 2 failed",
                "the replacement of failed green routes is used up",
            ],
        ),
    ];
    for (case, expected) in rows {
        assert_eq!(said(case), expected);
    }
}

#[test]
fn counts_no_other_health_as_ready() {
    for health in [NotChecked, Unhealthy, Degraded] {
        let worse = green(Running, health).at(90);
        let case = awaiting(3, [serving(), green(Running, Healthy).times(2), worse]);
        let Err(Blocked(blockers)) = case.promote() else {
            panic!("promoted a green that is {health:?}");
        };
        let one = Some((1, at(90)));
        let unready = match health {
            Unhealthy => UnreadyRoutes {
                unhealthy: one,
                ..UnreadyRoutes::default()
            },
            Degraded => UnreadyRoutes {
                degraded: one,
                ..UnreadyRoutes::default()
            },
            _ => UnreadyRoutes {
                not_checked: Some((1, at(90))),
                ..UnreadyRoutes::default()
            },
        };
        let expected = Blocker::GreenUnhealthy {
            ready: 2,
            target: 3,
            unready,
        };
        assert_eq!(blockers, [expected]);
    }
}

#[test]
fn is_refused_where_there_is_nothing_to_promote() {
    let one = || IntOrPercent::Count(1);
    let tombstone = DeploymentState::Destroyed { current: None };
    let rows: [(DecisionCase, PromoteRejection); 6] = [
        (pending(3, [serving()]), NotDeploying(Lifecycle::Pending)),
        (ready(3, [serving()]), NotDeploying(Lifecycle::Ready)),
        (destroying([serving()]), NotDeploying(Lifecycle::Destroying)),
        (case(tombstone, 3, []), NotDeploying(Lifecycle::Destroyed)),
        (deploying(3, all()).rolling_back(), RollingBack),
        (deploying(3, all()).rolling(one(), one()), NotBlueGreen),
    ];
    for (case, expected) in rows {
        assert_eq!(case.promote(), Err(expected));
    }
}

#[test]
fn an_automatic_promotion_looks_at_health_again() {
    let mut case = awaiting(
        4,
        [
            blue(Running, Healthy).times(4),
            green(Running, Healthy).at(90).times(4),
        ],
    )
    .auto(30);
    assert_eq!(case.says(), "AWAITING_PROMOTION, wake 120");
    case.settle();
    case.now = at(120);
    case.report_all(5..=8, Running, Unhealthy);
    assert_eq!(case.says(), "PROVISIONING, wake 720");
    let evaluation = case.evaluate();
    assert!(evaluation.transition.actions.is_empty());
}

#[test]
fn blue_does_not_matter() {
    let up = green(Running, Healthy).times(3);
    let case = awaiting(3, [blue(Running, Unhealthy).times(3), up]);
    assert_eq!(case.promote().as_deref(), Ok(PROMOTED));
    table([(
        "nor does it for an automatic one",
        awaiting(3, [blue(Running, Unhealthy).times(3), up]).auto(0),
        "READY green by promotion, promote 4 5 6, drain 1 2 3, wake 100",
    )]);
}
