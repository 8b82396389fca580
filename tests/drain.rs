//! Draining: out of traffic at once, stopped only after the grace, so that
//! proxies can follow. What never had traffic has no grace.

use std::time::{Duration, Instant};

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    ActivateRevisionRequest, AssignmentAction, DeploymentPolicy, ListAssignmentsRequest,
    RouteStatus,
};

use crate::{
    engines::both_engines,
    harness::{Engine, GROUP, REFERENCE, TestEnv, ids, manual, seconds},
};

#[apply(both_engines)]
#[tokio::test]
async fn what_had_traffic_is_stopped_after_the_grace(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(2, graceful(GRACE.as_secs_f64())).await;
    let asked = Instant::now();
    env.promote().await;
    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, gate.deploying_revision_id, "at once");
    let blue = env.routes_of(&gate.current_revision_id).await;
    for route in &blue {
        assert_eq!(route.status(), RouteStatus::Terminating);
    }
    let stops = env.stops().await;
    assert!(asked.elapsed() >= GRACE || stops.is_empty(), "{stops:?}");
    for route in &blue {
        let after = env.scheduler.stopped(&route.id).await - asked;
        assert!(after >= GRACE, "stopped after {after:?}");
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn what_never_had_traffic_is_stopped_at_once(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    // Longer than any test waits.
    let gate = env.at_gate(2, graceful(600.0)).await;
    let green = env.routes_of(&gate.deploying_revision_id).await;
    let third = env.api.create_revision(REFERENCE, false).await;
    let third = third.expect("recorded").revision.expect("a revision");
    let request = ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: third.id,
        supersede: true,
        ..ActivateRevisionRequest::default()
    };
    env.api.activate(request).await.expect("2 is given up");
    for route in &green {
        env.scheduler.stopped(&route.id).await;
    }
    let blue = env.routes_of(&gate.current_revision_id).await;
    for id in ids(&blue) {
        assert!(env.scheduler.stop_of(&id).is_none(), "blue serves on");
    }
}

impl TestEnv {
    /// The routes for which STOP could be taken now.
    async fn stops(&self) -> Vec<String> {
        let request = ListAssignmentsRequest {
            resource_group: GROUP.to_owned(),
            page_size: 500,
            ..ListAssignmentsRequest::default()
        };
        let reply = self.api.routes().list_assignments(request).await;
        let open = reply.expect("assignments").into_inner().assignments;
        open.into_iter()
            .filter(|it| it.action() == AssignmentAction::Stop)
            .filter_map(|it| it.route)
            .map(|route| route.id)
            .collect()
    }
}

fn graceful(grace: f64) -> DeploymentPolicy {
    DeploymentPolicy {
        drain_grace: seconds(grace),
        ..manual()
    }
}

const GRACE: Duration = Duration::from_millis(1_200);
