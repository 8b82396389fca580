//! Deployments and events at random.

use proptest::{collection::vec, option, prelude::*};
use viridian_strategy::{
    BlueGreen, DeploymentState, GateAction, GateTimeout, IntOrPercent, RollingUpdate, RolloutStep,
    RouteHealth, RouteStatus, Stopwatch,
};

use crate::case::{
    BLUE, DecisionCase, Degraded, FailedToStart, GREEN, Healthy, NotChecked, Provisioning,
    ReplicaSpec, Running, Terminated, Terminating, Unhealthy, at, blue, case, deploying, green,
    other, secs,
};

/// What may happen to a deployment.
#[derive(Clone, Debug)]
pub(crate) enum RandomEvent {
    /// A report of the route with this number, round and round.
    Report(usize, RouteStatus, RouteHealth),
    /// All routes of a status are reported to be in another.
    ReportAll(RouteStatus, RouteStatus, RouteHealth),
    Pass(u64),
    Activate {
        revision: u128,
        supersede: bool,
    },
    Promote,
    Scale(u32),
    Pause(bool),
    Settings(BlueGreen),
}

fn health() -> impl Strategy<Value = RouteHealth> {
    prop_oneof![
        4 => Just(Healthy),
        1 => Just(Unhealthy),
        1 => Just(Degraded),
        1 => Just(NotChecked),
    ]
}

fn status() -> impl Strategy<Value = RouteStatus> {
    prop_oneof![
        2 => Just(Provisioning),
        5 => Just(Running),
        1 => Just(Terminating),
        1 => Just(Terminated),
        1 => Just(FailedToStart),
    ]
}

pub(crate) fn event() -> impl Strategy<Value = RandomEvent> {
    prop_oneof![
        5 => (0_usize..1000, status(), health())
            .prop_map(|(id, status, health)| RandomEvent::Report(id, status, health)),
        5 => health().prop_map(|health| RandomEvent::ReportAll(Provisioning, Running, health)),
        1 => Just(RandomEvent::ReportAll(Running, Running, Healthy)),
        1 => Just(RandomEvent::ReportAll(Provisioning, FailedToStart, NotChecked)),
        1 => Just(RandomEvent::ReportAll(Running, Terminated, Healthy)),
        2 => Just(RandomEvent::ReportAll(Terminating, Terminated, Healthy)),
        4 => (0_u64..400).prop_map(RandomEvent::Pass),
        4 => (1_u128..6, any::<bool>())
            .prop_map(|(revision, supersede)| RandomEvent::Activate { revision, supersede }),
        2 => Just(RandomEvent::Promote),
        2 => (0_u32..7).prop_map(RandomEvent::Scale),
        2 => any::<bool>().prop_map(RandomEvent::Pause),
        1 => blue_green().prop_map(RandomEvent::Settings),
    ]
}

prop_compose! {
    pub(crate) fn blue_green()(
        auto_promote in any::<bool>(),
        promote_delay in prop_oneof![Just(0), 0_u64..200],
        min_ready in prop_oneof![Just(0), 0_u64..200],
        max_replacements in option::of(0_u32..4),
        ready_threshold in option::of(prop_oneof![
            (1_u32..4).prop_map(IntOrPercent::Count),
            (1_u32..=100).prop_map(IntOrPercent::Percent),
        ]),
        scale_down_delay in prop_oneof![Just(0), 0_u64..300],
        gate_timeout in option::of((1_u64..300, prop_oneof![
            Just(GateAction::Hold),
            Just(GateAction::Rollback),
            Just(GateAction::Promote),
        ])),
    ) -> BlueGreen {
        BlueGreen {
            auto_promote,
            promote_delay: secs(promote_delay),
            min_ready: secs(min_ready),
            max_replacements,
            ready_threshold,
            scale_down_delay: secs(scale_down_delay),
            gate_timeout: gate_timeout.map(|(duration, action)| GateTimeout {
                duration: secs(duration),
                action,
            }),
        }
    }
}

pub(crate) fn rolling() -> impl Strategy<Value = RollingUpdate> {
    let amount = || {
        prop_oneof![
            (0_u32..4).prop_map(IntOrPercent::Count),
            (0_u32..=100).prop_map(IntOrPercent::Percent),
        ]
    };
    (amount(), amount()).prop_map(|(max_surge, max_unavailable)| RollingUpdate {
        max_surge,
        max_unavailable,
    })
}

/// Routes in any shape, in any state of a blue-green deployment.
pub(crate) fn any_case() -> impl Strategy<Value = DecisionCase> {
    let place = (0_u8..6, 0_u32..5, any::<bool>());
    let clocks = (0_u64..700, -600_i64..100, 0_u32..5);
    (place, clocks, blue_green(), vec(any_replica(), 0..12)).prop_map(
        |((place, target, paused), (spent, since, best), spec, routes)| {
            let current = Some(BLUE);
            let step = match place {
                0 => RolloutStep::AwaitingPromotion {
                    gate: Stopwatch::started(at(since)),
                },
                1 => RolloutStep::RollingBack,
                _ => RolloutStep::Provisioning,
            };
            let case = match place {
                4 => case(DeploymentState::Ready { current: BLUE }, target, routes),
                5 => case(DeploymentState::Destroying { current }, target, routes),
                _ => deploying(target, routes).rollout(|rollout| {
                    rollout.step = step;
                    rollout.best_ready = best;
                    rollout.progress = Stopwatch {
                        spent: secs(spent),
                        since: (since > -300).then_some(at(since)),
                    };
                }),
            };
            let mut case = case.blue_green(|old| *old = spec);
            case.deployment.paused = paused;
            case
        },
    )
}

fn any_replica() -> impl Strategy<Value = ReplicaSpec> {
    let make = prop_oneof![
        4 => Just(blue as fn(RouteStatus, RouteHealth) -> ReplicaSpec),
        5 => Just(green as fn(RouteStatus, RouteHealth) -> ReplicaSpec),
        1 => Just(other as fn(RouteStatus, RouteHealth) -> ReplicaSpec),
    ];
    let times = (-300_i64..100, 0_i64..300);
    (make, status(), health(), times, any::<bool>()).prop_map(
        |(make, status, health, (created, age), drained)| {
            let settled = (created + age).min(100);
            let replica = make(status, health).created(created).at(settled);
            let is_green = replica.route().revision == GREEN;
            if status == Terminating || drained && !status.is_active() {
                replica.drained(settled)
            } else if status.is_active() && !is_green && drained && replica.route().revision != BLUE
            {
                replica.retained(settled)
            } else {
                replica
            }
        },
    )
}
