//! A target of 0: no route can show that a revision works, so nothing is decided by it but
//! what a caller asks for.

use viridian_strategy::{
    Blocker, DeploymentState, GateAction, GateTimeout,
    IntOrPercent::{self, Count},
    RouteStatus, ServedChange,
    verbs::{
        self,
        PromoteRejection::{Blocked, NotBlueGreen},
    },
};

use crate::case::{
    BLUE, DecisionCase, GREEN, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec, Running,
    Terminated, Unhealthy, at, awaiting, blue, deploying, green, other, pending, ready, secs,
    table,
};

const NONE: IntOrPercent = Count(0);

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(2)
}

fn to(target: u32, mut case: DecisionCase) -> DecisionCase {
    case.deployment.target_replicas = target;
    case
}

#[test]
fn a4_a_rollout_waits_at_zero_whatever_its_green_has_come_to() {
    let up = green(Running, Healthy).times(2);
    let timeout = |action| GateTimeout {
        duration: secs(10),
        action,
    };
    let at_gate = |action| {
        to(0, awaiting(2, [serving(), up]))
            .blue_green(|spec| spec.gate_timeout = Some(timeout(action)))
    };
    let drains = "PROVISIONING, drain 4 3 2 1";
    table([
        ("manual", to(0, deploying(2, [])), "PROVISIONING"),
        ("automatic", to(0, deploying(2, [])).auto(0), "PROVISIONING"),
        (
            "green is ready and every gate is open",
            to(0, awaiting(2, [serving(), up])).auto(0),
            drains,
        ),
        (
            "green is starting",
            to(
                0,
                deploying(2, [serving(), green(Provisioning, NotChecked).times(2)]),
            )
            .auto(0),
            drains,
        ),
        (
            "all green failed",
            to(
                0,
                deploying(2, [serving(), green(Terminated, Healthy).times(2)]),
            ),
            "PROVISIONING, drain 2 1",
        ),
        (
            "the deadline has passed",
            to(0, deploying(2, [serving(), green(Running, Unhealthy)])).now(10_000),
            "PROVISIONING, drain 3 2 1",
        ),
        ("the gate promotes", at_gate(GateAction::Promote), drains),
        ("the gate rolls back", at_gate(GateAction::Rollback), drains),
        (
            "rolling, all ready",
            to(0, deploying(2, [serving(), up.active()])).rolling(Count(1), NONE),
            drains,
        ),
        (
            "rolling, the new one is UNHEALTHY",
            to(
                0,
                deploying(2, [serving(), green(Running, Unhealthy).active()]),
            )
            .rolling(Count(1), NONE),
            "PROVISIONING, drain 3 2 1",
        ),
        (
            "rolling, the deadline has passed and the new ones failed",
            to(0, deploying(2, [green(Terminated, Healthy)]))
                .rolling(Count(1), NONE)
                .now(10_000),
            "PROVISIONING",
        ),
        (
            "a way back needs no proof",
            to(0, deploying(2, [serving(), up.active()]))
                .rolling(Count(1), NONE)
                .rolling_back(),
            "READY blue by roll-back, drain 2 1 4 3, wake 100",
        ),
    ]);
    let waits = to(0, deploying(2, []));
    assert_eq!(
        waits.blockers(),
        ["the target is 0 replicas; it goes on when the target is raised"]
    );
    assert_eq!(waits.evaluate().deadline, None);
}

/// N goes from 2 to 0 and back within a second, or stays at 0 for a day.
#[test]
fn a4_it_goes_on_where_it_was_when_there_are_replicas_again() {
    for away in [1, 86_400] {
        let bad = green(Running, Unhealthy);
        let mut case = deploying(2, [serving(), bad.times(2)]).auto(0);
        case.settle();
        case.deployment.target_replicas = 0;
        case.pass_to(100 + away);
        case.deployment.target_replicas = 2;
        let evaluation = case.settle();
        let names = DeploymentState::Deploying(*case.deployment.state.rollout().expect("one"));
        assert_eq!(names.current(), Some(BLUE));
        let starting = |revision| {
            case.count(|route| {
                route.revision == revision && route.status == RouteStatus::Provisioning
            })
        };
        assert_eq!((starting(GREEN), starting(BLUE)), (2, 2));
        // 100 s of the deadline had passed before there were none.
        assert_eq!(evaluation.deadline, Some(at(600 + away)));
        case.pass_to(600 + away);
        assert!(case.is_ready(), "rolled back by the deadline");
        assert_eq!(case.deployment.state.current(), Some(BLUE));
    }
}

/// Any time may pass between calls and the next evaluation: nobody looks while the server is away.
#[test]
fn a4_the_clocks_stand_at_zero_whatever_calls_come_before_an_evaluation() {
    let bad = green(Running, Unhealthy).times(2);
    let scaled = |case: &mut DecisionCase, target| {
        let policy = case.policy.clone();
        let updated = case.decide(|observed| verbs::update(observed, target, &policy));
        case.apply(&updated.expect("taken"));
    };
    let paused = |case: &mut DecisionCase, pause| {
        let verb = if pause { verbs::pause } else { verbs::resume };
        let transition = case.decide(verb).expect("taken");
        case.apply(&transition);
    };
    type Calls<'a> = &'a dyn Fn(&mut DecisionCase);
    let rows: [(&str, Calls<'_>, Calls<'_>); 4] = [
        ("scaled", &|case| scaled(case, 0), &|case| scaled(case, 2)),
        (
            "paused and resumed at zero",
            &|case| {
                scaled(case, 0);
                paused(case, true);
                paused(case, false);
            },
            &|case| scaled(case, 2),
        ),
        (
            "scaled in a pause",
            &|case| {
                paused(case, true);
                scaled(case, 0);
                paused(case, false);
            },
            &|case| scaled(case, 2),
        ),
        (
            "resumed with replicas",
            &|case| {
                scaled(case, 0);
                paused(case, true);
            },
            &|case| {
                scaled(case, 2);
                paused(case, false);
            },
        ),
    ];
    for (name, away, back) in rows {
        for mut case in [
            deploying(2, [serving(), bad]),
            deploying(2, [serving(), bad.active()]).rolling(Count(1), NONE),
        ] {
            case.settle();
            away(&mut case);
            case.now = at(100_000);
            back(&mut case);
            let deadline = case.settle().deadline;
            assert_eq!(
                deadline,
                Some(at(100_500)),
                "{name}: 100 s had passed before"
            );
        }
    }
}

/// A rollout that begins at zero, where the routes that go still serve.
#[test]
fn a4_a_rollout_that_begins_at_zero_has_its_whole_deadline() {
    let mut case = to(0, ready(2, [serving()]));
    let activated = case.try_activate(GREEN, false).expect("taken");
    case.apply(&activated);
    case.now = at(100_000);
    let policy = case.policy.clone();
    let updated = case.decide(|observed| verbs::update(observed, 2, &policy));
    case.apply(&updated.expect("taken"));
    assert_eq!(case.settle().deadline, Some(at(100_600)));
}

#[test]
fn a4_a_rolling_update_goes_on_with_the_new_revision() {
    let bad = green(Running, Unhealthy).active();
    let mut case = deploying(2, [serving(), bad]).rolling(Count(1), NONE);
    case.settle();
    case.deployment.target_replicas = 0;
    case.settle();
    case.report_all(1..=3, Terminated, NotChecked);
    case.deployment.target_replicas = 2;
    case.settle();
    let state = case.deployment.state;
    assert_eq!(
        (state.current(), state.deploying()),
        (Some(BLUE), Some(GREEN))
    );
    case.pass_to(600);
    case.settle();
    assert_eq!(case.deployment.state.current(), Some(BLUE));
    let going_back = case.deployment.state.sub_step();
    assert_eq!(going_back, Some(viridian_strategy::SubStep::RollingBack));
}

#[test]
fn a4_only_a_call_promotes_without_replicas() {
    let blue_green = || to(0, deploying(2, [serving(), green(Running, Unhealthy)]));
    let rolling = || blue_green().rolling(Count(1), NONE);
    let promoted = "READY green by promotion, drain 1 2 3";
    assert_eq!(blue_green().promote().as_deref(), Ok(promoted));
    assert_eq!(rolling().promote().as_deref(), Ok(promoted));
    let long = blue_green().blue_green(|spec| spec.min_ready = secs(1_000));
    assert!(long.promote().is_ok(), "there is nothing to be ready");
    let paused = Err(Blocked(vec![Blocker::Paused]));
    assert_eq!(blue_green().paused().promote(), paused);
    assert_eq!(rolling().paused().promote(), paused);
    assert_eq!(to(1, rolling()).promote(), Err(NotBlueGreen));
}

#[test]
fn a4_a_first_revision_is_not_proved_by_zero_replicas() {
    let unhealthy = blue(Running, Unhealthy).times(2);
    let mut case = pending(2, [unhealthy]).asked();
    case.settle();
    case.deployment.target_replicas = 0;
    assert_eq!(case.says(), "PENDING blue, drain 2 1");
    assert_eq!(
        case.blockers(),
        ["the target is 0 replicas; it goes on when the target is raised"]
    );
    case.settle();
    case.deployment.target_replicas = 2;
    assert_eq!(case.says(), "PENDING blue, create 2 blue ACTIVE");
}

#[test]
fn a4_what_was_created_without_replicas_lacks_nothing() {
    assert_eq!(pending(0, []).says(), "READY blue");
    assert_eq!(pending(0, []).asked().says(), "PENDING blue");
}

#[test]
fn a4_where_nothing_serves_an_activation_replaces_at_zero_directly() {
    let one = Count(1);
    let scaled_down = || ready(0, [other(Running, Healthy).retained(90)]);
    let rows = [
        ("PENDING", pending(0, []), "PENDING green"),
        ("READY", ready(0, []), "READY green"),
        (
            "what was retained goes",
            scaled_down(),
            "READY green, drain 1",
        ),
        ("rolling", ready(0, []).rolling(one, NONE), "READY green"),
        (
            "something serves still: the strategy applies",
            ready(0, [serving()]),
            "PROVISIONING",
        ),
    ];
    for (name, case, expected) in rows {
        let said = case.activate(GREEN, false);
        assert_eq!(said.as_deref(), Ok(expected), "{name}");
    }
    let rollout = to(0, deploying(2, []));
    assert_eq!(rollout.activate(OTHER, true).as_deref(), Ok("READY other"));
    let replaced = ready(0, [])
        .try_activate(GREEN, false)
        .expect("it is not current");
    assert_eq!(replaced.served, ServedChange::Push(BLUE), "the way back");
    let case = to(
        3,
        DecisionCase {
            deployment: replaced.deployment,
            ..ready(0, [])
        },
    );
    assert_eq!(case.says(), "READY green, create 3 green ACTIVE");
}
