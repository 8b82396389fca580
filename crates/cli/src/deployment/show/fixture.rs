//! A deployment with its routes, revisions and history, for tests.

use jiff::Timestamp;
use viridian_proto::v1::{
    Blocker, BlockerCode, BlueGreenSpec, CanarySpec, CanaryStep, Deployment, DeploymentLifecycle,
    DeploymentPolicy, DeploymentProtocol, DeploymentSubStep, HistoryEntry, HistoryResult,
    ReplicaCounts, Revision, RevisionSpec, Route, RouteHealthStatus, RouteStatus,
    RouteTrafficStatus, TrafficSplit, deployment_policy::Strategy,
};

use super::OutputStyle;

/// The present time of the tests: 300 s after [`START`].
pub(crate) fn now() -> Timestamp {
    Timestamp::from_second(START + 300).expect("a moment")
}

pub(crate) fn plain() -> OutputStyle {
    OutputStyle {
        coloured: false,
        now: now(),
        width: None,
    }
}

pub(crate) fn coloured() -> OutputStyle {
    OutputStyle {
        coloured: true,
        now: now(),
        width: None,
    }
}

/// Without colours, on a terminal of this width.
pub(crate) fn narrow(width: usize) -> OutputStyle {
    OutputStyle {
        width: Some(width),
        ..plain()
    }
}

/// A moment in seconds after [`START`].
pub(crate) fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp {
        seconds: START + seconds,
        nanos: 0,
    })
}

/// All routes of revision 2 are ready, and someone must promote.
pub(crate) fn at_the_gate() -> Deployment {
    let mut deployment = Deployment {
        id: "d".to_owned(),
        project: "shop".to_owned(),
        name: "cart".to_owned(),
        current_revision_id: "rev-1".to_owned(),
        deploying_revision_id: "rev-2".to_owned(),
        current_revision_number: 1,
        deploying_revision_number: 2,
        target_replicas: 3,
        protocol: DeploymentProtocol::Http2.into(),
        labels: [("team", "a"), ("tier", "web")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        policy: Some(DeploymentPolicy {
            strategy: Some(Strategy::BlueGreen(BlueGreenSpec::default())),
            drain_grace: Some(prost_types::Duration {
                seconds: 5,
                nanos: 0,
            }),
            ..DeploymentPolicy::default()
        }),
        generation: 2,
        blue: Some(ReplicaCounts {
            ready: 3,
            active_traffic: 3,
            ..ReplicaCounts::default()
        }),
        green: Some(ReplicaCounts {
            ready: 3,
            ..ReplicaCounts::default()
        }),
        blockers: vec![Blocker {
            code: BlockerCode::ManualGate.into(),
            message: "green is ready (3 routes); waiting for someone to promote".to_owned(),
            until_time: None,
        }],
        create_time: at(0),
        phase_start_time: at(100),
        ..Deployment::default()
    };
    deployment.set_lifecycle(DeploymentLifecycle::Deploying);
    deployment.set_sub_step(DeploymentSubStep::AwaitingPromotion);
    deployment
}

/// One route of revision 2 is unhealthy, one is starting, and the deadline runs.
pub(crate) fn provisioning() -> Deployment {
    let mut deployment = at_the_gate();
    deployment.set_sub_step(DeploymentSubStep::Provisioning);
    deployment.green = Some(ReplicaCounts {
        ready: 1,
        unhealthy: 1,
        provisioning: 1,
        ..ReplicaCounts::default()
    });
    let blocker = |code: BlockerCode, message: &str, until_time| Blocker {
        code: code.into(),
        message: message.to_owned(),
        until_time,
    };
    deployment.blockers = vec![
        blocker(
            BlockerCode::GreenProvisioning,
            "1 of 3 green routes is ready; 1 is starting",
            at(700),
        ),
        blocker(
            BlockerCode::GreenUnhealthy,
            "1 of 3 green routes is ready; 1 is UNHEALTHY since 00:02:00",
            None,
        ),
    ];
    deployment.deadline_time = at(700);
    deployment
}

/// A canary at the second of three steps, which holds for a while, and then for someone.
pub(crate) fn canary() -> Deployment {
    let mut deployment = at_the_gate();
    deployment.set_sub_step(DeploymentSubStep::Shifting);
    let minutes = |minutes: i64| {
        Some(prost_types::Duration {
            seconds: 60 * minutes,
            nanos: 0,
        })
    };
    let step = |weight_permille, manual| CanaryStep {
        weight_permille,
        hold: minutes(10),
        manual,
        replicas: None,
    };
    deployment.policy = Some(DeploymentPolicy {
        strategy: Some(Strategy::Canary(CanarySpec {
            steps: vec![step(50, false), step(250, true), step(500, false)],
            ..CanarySpec::default()
        })),
        ..DeploymentPolicy::default()
    });
    deployment.step = 2;
    deployment.split = Some(TrafficSplit {
        revision_id: "rev-2".to_owned(),
        weight_permille: 250,
        effective_permille: 250,
    });
    deployment.green = Some(ReplicaCounts {
        ready: 1,
        active_traffic: 1,
        ..ReplicaCounts::default()
    });
    deployment.blockers = vec![Blocker {
        code: BlockerCode::StepHold.into(),
        message: "step 2 of 3: 25 % to green, until 2026-01-01 00:12:00 UTC".to_owned(),
        until_time: at(720),
    }];
    deployment
}

/// The same after the hold, with half of what the step asks for.
pub(crate) fn manual_step() -> Deployment {
    let mut deployment = canary();
    deployment.split = Some(TrafficSplit {
        revision_id: "rev-2".to_owned(),
        weight_permille: 250,
        effective_permille: 125,
    });
    deployment.blockers = vec![Blocker {
        code: BlockerCode::ManualStep.into(),
        message: "step 2 of 3: 25 % to green; waiting for someone to advance it".to_owned(),
        until_time: None,
    }];
    deployment
}

pub(crate) fn revisions() -> Vec<Revision> {
    let revision = |number: i64| Revision {
        id: format!("rev-{number}"),
        deployment_id: "d".to_owned(),
        number,
        spec: Some(RevisionSpec {
            image: format!("cart:{number}"),
            ..RevisionSpec::default()
        }),
        create_time: at(number * 50),
        created_by: "ci".to_owned(),
    };
    vec![revision(2), revision(1)]
}

/// Routes of both colours. One is unhealthy, and one has failed.
pub(crate) fn routes() -> Vec<Route> {
    let route = |number: i64, revision: &str, status: RouteStatus, health: RouteHealthStatus| {
        let mut route = Route {
            id: format!("route-{number}"),
            revision_id: revision.to_owned(),
            status: status.into(),
            health: health.into(),
            create_time: at(number * 10),
            status_update_time: at(number * 10 + 5),
            health_update_time: at(number * 10 + 8),
            ..Route::default()
        };
        route.set_traffic_status(RouteTrafficStatus::Inactive);
        if status == RouteStatus::Running {
            route.address = format!("10.0.0.{number}:80");
        }
        if revision == "rev-1" {
            route.set_traffic_status(RouteTrafficStatus::Active);
            route.traffic_ratio = 1.0;
        }
        route
    };
    let (healthy, unhealthy) = (RouteHealthStatus::Healthy, RouteHealthStatus::Unhealthy);
    let mut failed = route(
        7,
        "rev-2",
        RouteStatus::FailedToStart,
        RouteHealthStatus::NotChecked,
    );
    failed.failure = "no such image".to_owned();
    let mut not_found = route(5, "rev-2", RouteStatus::Running, unhealthy);
    not_found.health_detail = "GET /nope: 404".to_owned();
    vec![
        route(1, "rev-1", RouteStatus::Running, healthy),
        route(2, "rev-1", RouteStatus::Running, healthy),
        route(3, "rev-1", RouteStatus::Running, healthy),
        route(4, "rev-2", RouteStatus::Running, healthy),
        not_found,
        route(
            6,
            "rev-2",
            RouteStatus::Provisioning,
            RouteHealthStatus::NotChecked,
        ),
        failed,
    ]
}

/// Newest first.
pub(crate) fn history() -> Vec<HistoryEntry> {
    use DeploymentLifecycle::{Deploying, Pending, Ready, Unspecified};
    use DeploymentSubStep::{AwaitingPromotion, Provisioning, Unspecified as NoStep};
    let entry = |number: i64,
                 phase: &str,
                 result: HistoryResult,
                 from: (DeploymentLifecycle, DeploymentSubStep),
                 to: (DeploymentLifecycle, DeploymentSubStep)| HistoryEntry {
        number,
        phase: phase.to_owned(),
        result: result.into(),
        from_lifecycle: from.0.into(),
        from_sub_step: from.1.into(),
        to_lifecycle: to.0.into(),
        to_sub_step: to.1.into(),
        revision_id: if number > 2 { "rev-2" } else { "rev-1" }.to_owned(),
        actor: "coordinator".to_owned(),
        attempts: 1,
        create_time: at(number * 20),
        ..HistoryEntry::default()
    };
    let (success, waiting) = (HistoryResult::Success, HistoryResult::Waiting);
    let mut gate = entry(
        4,
        "EVALUATE",
        waiting,
        (Deploying, Provisioning),
        (Deploying, AwaitingPromotion),
    );
    gate.reason = "green is ready (3 routes); waiting for someone to promote".to_owned();
    gate.attempts = 3;
    let mut activation = entry(
        3,
        "ACTIVATE",
        success,
        (Ready, NoStep),
        (Deploying, Provisioning),
    );
    activation.actor = "ci".to_owned();
    activation.reason = "the spring release".to_owned();
    vec![
        gate,
        activation,
        entry(2, "EVALUATE", success, (Pending, NoStep), (Ready, NoStep)),
        entry(
            1,
            "CREATE",
            success,
            (Unspecified, NoStep),
            (Pending, NoStep),
        ),
    ]
}

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
