//! Timers are columns: each rings when it is time, to the microsecond, though the
//! server is started anew meanwhile, and at once when it rang while no server ran.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use viridian_strategy::{
    BlueGreen, DeploymentId, DeploymentState, GateAction, GateTimeout, Policy, RevisionId,
    RolloutOutcome, RouteHealth, RouteId, RouteStatus, Strategy, SubStep,
};

use super::{
    fixture::{Engine, Fixture, call, engines, manual, on_heap},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{Action, AssignmentSelection, OpenAssignments, Projects};

/// When the next start of the server comes.
#[derive(Clone, Copy, Debug)]
enum Restart {
    Before,
    Behind,
}

/// What a timer waits for, in a scene of its own.
#[derive(Clone, Copy, Debug)]
enum Timer {
    PromoteDelay,
    MinReady,
    GateToPromote,
    GateToRollBack,
    ProgressDeadline,
    FirstDeadline,
    ScaleDownDelay,
    BackOff,
}

/// A timer that is set.
struct Set {
    id: DeploymentId,
    rings_in: Duration,
    green: Option<RevisionId>,
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn rings_in_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(
        Timer::PromoteDelay,
        Timer::MinReady,
        Timer::GateToPromote,
        Timer::GateToRollBack,
        Timer::ProgressDeadline,
        Timer::FirstDeadline,
        Timer::ScaleDownDelay,
        Timer::BackOff
    )]
    timer: Timer,
    #[values(Restart::Before, Restart::Behind)] restart: Restart,
) {
    let (mut time, mut fixture) = VirtualTime::new(engine).await;
    let set = timer.set(&mut time, &fixture).await;
    let next = fixture.pass().await.next;
    assert_eq!(next, Some(set.rings_in), "when the coordinator looks again");
    match restart {
        Restart::Before => {
            time.pass(set.rings_in / 2).await;
            fixture = time.restart(fixture).await;
            let pass = fixture.pass().await;
            assert_eq!(pass.next, Some(set.rings_in - set.rings_in / 2));
            time.pass(set.rings_in - set.rings_in / 2 - MOMENT).await;
            assert_eq!(fixture.pass().await.next, Some(MOMENT));
            assert!(!timer.has_rung(&fixture, &set).await, "before its time");
            time.pass(MOMENT).await;
        }
        Restart::Behind => {
            time.pass(3 * set.rings_in).await;
            fixture = time.restart(fixture).await;
        }
    }
    assert_eq!(fixture.pass().await.done, [set.id]);
    assert!(timer.has_rung(&fixture, &set).await, "it is time");
    invariants::hold(&fixture).await;
}

/// A clock that is set back makes nobody wait for longer than the whole span: once more at
/// most, though every time in the database lies in the future then.
#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn a7_rings_in_its_span_though_the_clock_was_set_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(
        Timer::PromoteDelay,
        Timer::MinReady,
        Timer::GateToPromote,
        Timer::GateToRollBack,
        Timer::ProgressDeadline,
        Timer::FirstDeadline,
        Timer::ScaleDownDelay,
        Timer::BackOff
    )]
    timer: Timer,
    #[values(false, true)] restarted: bool,
) {
    let (mut time, mut fixture) = VirtualTime::new(engine).await;
    let set = timer.set(&mut time, &fixture).await;
    time.set_back(BACK).await;
    if restarted {
        fixture = time.restart(fixture).await;
    }
    let pass = fixture.pass().await;
    assert!(!timer.has_rung(&fixture, &set).await, "before its time");
    let left = pass.next.expect("the coordinator looks again");
    assert!(left <= set.rings_in, "waits for {left:?}");
    // The next looks find the same: a wait that began anew at each of them would never end.
    for part in [left / 2, left - left / 2] {
        fixture.pass().await;
        time.pass(part).await;
    }
    fixture.settle().await;
    assert!(timer.has_rung(&fixture, &set).await, "it is time");
    invariants::hold(&fixture).await;
}

impl Timer {
    async fn set(self, time: &mut VirtualTime, fixture: &Fixture) -> Set {
        let automatic = BlueGreen {
            auto_promote: true,
            ..BlueGreen::default()
        };
        let gate = |action| BlueGreen {
            gate_timeout: Some(GateTimeout {
                duration: TIME,
                action,
            }),
            ..BlueGreen::default()
        };
        let ready_green = async |spec| {
            let id = fixture.ready(2, blue_green(spec)).await;
            let green = fixture.deploy(id).await;
            fixture.bring_up(id, RouteHealth::Healthy).await;
            Set {
                id,
                rings_in: TIME,
                green: Some(green),
            }
        };
        match self {
            Self::PromoteDelay => {
                ready_green(BlueGreen {
                    promote_delay: TIME,
                    ..automatic
                })
                .await
            }
            Self::MinReady => {
                ready_green(BlueGreen {
                    min_ready: TIME,
                    ..automatic
                })
                .await
            }
            Self::GateToPromote => ready_green(gate(GateAction::Promote)).await,
            Self::GateToRollBack => ready_green(gate(GateAction::Rollback)).await,
            Self::ProgressDeadline => {
                let policy = Policy {
                    progress_deadline: TIME,
                    ..manual()
                };
                let id = fixture.ready(2, policy).await;
                let green = fixture.deploy(id).await;
                // One of them comes up ten seconds later: so long it starts over.
                time.pass(Duration::from_secs(10)).await;
                let routes = fixture.routes_of(id, green).await;
                fixture.status(&routes[..1], RouteStatus::Running).await;
                fixture.health(&routes[..1], RouteHealth::Healthy).await;
                fixture.settle().await;
                Set {
                    id,
                    rings_in: TIME,
                    green: Some(green),
                }
            }
            Self::FirstDeadline => {
                let policy = Policy {
                    first_deadline: Some(TIME),
                    ..manual()
                };
                let id = fixture.created(2, policy).await;
                fixture.settle().await;
                Set {
                    id,
                    rings_in: TIME,
                    green: None,
                }
            }
            Self::ScaleDownDelay => {
                let spec = BlueGreen {
                    scale_down_delay: TIME,
                    ..BlueGreen::default()
                };
                let (id, green) = fixture.at_the_gate(2, blue_green(spec)).await;
                let call = call();
                let promote = || fixture.db.complete_manual_promote(id, None, &call);
                on_heap(promote).await.expect("it is at its gate");
                fixture.settle().await;
                Set {
                    id,
                    rings_in: TIME,
                    green: Some(green),
                }
            }
            Self::BackOff => {
                let id = fixture.ready(1, manual()).await;
                // The first is replaced at once, and so is the second, which came
                // up: it is the fourth for which there is a wait of 4 s.
                for wait in [0, 1, 2] {
                    crash(time, fixture, id).await;
                    time.pass(Duration::from_secs(wait)).await;
                    fixture.settle().await;
                    fixture.bring_up(id, RouteHealth::Healthy).await;
                }
                crash(time, fixture, id).await;
                Set {
                    id,
                    rings_in: Duration::from_secs(4),
                    green: None,
                }
            }
        }
    }

    async fn has_rung(self, fixture: &Fixture, set: &Set) -> bool {
        let deployment = fixture.get(set.id).await;
        let current = deployment.state.current();
        match self {
            Self::PromoteDelay | Self::MinReady | Self::GateToPromote => {
                let promoted = current == set.green;
                assert_eq!(
                    promoted,
                    matches!(deployment.state, DeploymentState::Ready { .. })
                );
                promoted
            }
            Self::GateToRollBack | Self::ProgressDeadline => {
                assert_ne!(current, set.green);
                let back = matches!(deployment.state, DeploymentState::Ready { .. });
                let waits = [SubStep::Provisioning, SubStep::AwaitingPromotion];
                let waits = deployment
                    .state
                    .sub_step()
                    .is_some_and(|it| waits.contains(&it));
                assert_ne!(back, waits, "{:?}", deployment.state);
                back
            }
            Self::FirstDeadline => {
                let last = deployment.last_rollout.map(|last| last.outcome);
                assert!(matches!(deployment.state, DeploymentState::Pending { .. }));
                last == Some(RolloutOutcome::Failed)
            }
            Self::ScaleDownDelay => {
                let ending = fixture.routes_in(set.id, RouteStatus::Terminating).await;
                assert_eq!(ending.is_empty(), deployment.status.blue.retained == 2);
                ending.len() == 2
            }
            Self::BackOff => {
                let starting = fixture.routes_in(set.id, RouteStatus::Provisioning).await;
                !starting.is_empty()
            }
        }
    }
}

/// START is handed out until it is answered, and STOP only after the grace.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn assignments_outlive_the_server_and_stop_waits_for_the_grace(#[case] engine: Engine) {
    let (mut time, mut fixture) = VirtualTime::new(engine).await;
    let policy = Policy {
        drain_grace: TIME,
        ..manual()
    };
    let id = fixture.ready(2, policy).await;
    let green = fixture.deploy(id).await;
    let green = fixture.routes_of(id, green).await;
    for _ in 0..2 {
        assert_eq!(open(&fixture).await, (starts(&green), None));
        fixture = time.restart(fixture).await;
        time.pass(TIME).await;
    }
    fixture.status(&green[..1], RouteStatus::Running).await;
    assert_eq!(open(&fixture).await, (starts(&green[1..]), None));
    fixture.bring_up(id, RouteHealth::Healthy).await;
    fixture.health(&green, RouteHealth::Healthy).await;
    fixture.settle().await;

    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let blue = promoted.expect("it is at its gate").drained;
    assert_eq!(open(&fixture).await, (Vec::new(), Some(TIME)));
    time.pass(TIME - MOMENT).await;
    fixture = time.restart(fixture).await;
    assert_eq!(open(&fixture).await, (Vec::new(), Some(MOMENT)));
    time.pass(MOMENT).await;
    for _ in 0..2 {
        assert_eq!(open(&fixture).await, (all(Action::Stop, &blue), None));
        fixture = time.restart(fixture).await;
    }
    fixture.status(&blue, RouteStatus::Terminated).await;
    assert_eq!(open(&fixture).await, (Vec::new(), None));
    invariants::hold(&fixture).await;
}

/// What is to be started is handed out at once, and what is to be stopped after the grace.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a7_assignments_do_not_wait_for_a_clock_that_was_set_back(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let policy = Policy {
        drain_grace: TIME,
        ..manual()
    };
    let (id, _) = fixture.at_the_gate(2, policy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let blue = promoted.expect("it is at its gate").drained;
    let green = fixture.deploy(id).await;
    let green = fixture.routes_of(id, green).await;
    time.set_back(BACK).await;
    fixture.pass().await;
    assert_eq!(open(&fixture).await, (starts(&green), Some(TIME)));
    time.pass(TIME).await;
    fixture.pass().await;
    let (found, next) = open(&fixture).await;
    let mut expected = [starts(&green), all(Action::Stop, &blue)].concat();
    expected.sort_by_key(|(_, id)| *id);
    assert_eq!((found, next), (expected, None));
}

/// Nothing has looked at it since.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a7_a_promotion_is_not_refused_since_the_clock_was_set_back(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let (id, green) = fixture.at_the_gate(2, manual()).await;
    time.set_back(Duration::from_secs(20)).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    let promoted = promoted.expect("all green are ready, and min_ready is 0");
    assert_eq!(promoted.deployment.state.current(), Some(green));
    invariants::hold(&fixture).await;
}

/// The attempt before failed at a time that is still to come.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a7_an_attempt_does_not_fail_by_those_before_it(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let green = fixture.deploy(id).await;
    let routes = fixture.routes_of(id, green).await;
    fixture.status(&routes, RouteStatus::FailedToStart).await;
    fixture.settle().await;
    assert_eq!(
        fixture.get(id).await.state.deploying(),
        None,
        "it went back"
    );
    time.set_back(BACK).await;
    let again = fixture
        .db
        .activate_revision(id, green, false, &call())
        .await;
    again.expect("it is not current");
    fixture.settle().await;
    let deployment = fixture.get(id).await;
    assert_eq!(deployment.state.deploying(), Some(green));
    assert_eq!(deployment.status.green.failed, 0);
    assert_eq!(
        fixture.routes_in(id, RouteStatus::Provisioning).await.len(),
        2
    );
}

/// All that runs ends without having been drained, a second later.
async fn crash(time: &mut VirtualTime, fixture: &Fixture, id: DeploymentId) {
    time.pass(Duration::from_secs(1)).await;
    let running = fixture.routes_in(id, RouteStatus::Running).await;
    fixture.status(&running, RouteStatus::Terminated).await;
    fixture.settle().await;
}

async fn open(fixture: &Fixture) -> (Vec<(Action, RouteId)>, Option<Duration>) {
    let found = fixture
        .db
        .open_assignments("g", Projects::All, &AssignmentSelection::All)
        .await;
    let OpenAssignments { open, next, .. } = found.expect("they are read");
    let mut open: Vec<_> = open
        .iter()
        .map(|it| (it.action, it.route.view.id))
        .collect();
    open.sort_by_key(|(_, id)| *id);
    (open, next)
}

fn starts(ids: &[RouteId]) -> Vec<(Action, RouteId)> {
    all(Action::Start, ids)
}

fn all(action: Action, ids: &[RouteId]) -> Vec<(Action, RouteId)> {
    let mut all: Vec<_> = ids.iter().map(|&id| (action, id)).collect();
    all.sort_by_key(|(_, id)| *id);
    all
}

fn blue_green(spec: BlueGreen) -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(spec),
        ..Policy::default()
    }
}

/// Longer than every wait of these tests.
const BACK: Duration = Duration::from_secs(60 * 60);
const TIME: Duration = Duration::from_secs(60);
const MOMENT: Duration = Duration::from_micros(1);
