//! Large specs of many replicas, and those who take their assignments.

use std::collections::HashSet;

use tonic::Streaming;
use viridian_proto::v1::{
    Assignment, CreateDeploymentRequest, ListAssignmentsRequest, RevisionSpec,
    UpdateDeploymentRequest, WatchAssignmentsRequest, WatchAssignmentsResponse,
    watch_assignments_response::Payload,
};

use super::{load, others::MemoryBound};
use crate::harness::{Api, Engine, GROUP, Server, creation, manual, within};

/// 10 deployments of 1,000 replicas with specs of 60 KiB, and one agent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g8_large_specs_of_many_replicas_are_held_once() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let bound = MemoryBound::of(&server);
    let replicas = 100 * load() - MORE;
    create(&api, 10, replicas).await;
    let mut stream = watch(&api).await;
    let all = take(&mut stream, 10 * replicas).await;
    let mut seen = HashSet::new();
    for assignment in all {
        let spec = assignment.revision.and_then(|it| it.spec);
        let large = spec.map(|spec| spec.environ["LARGE"].len());
        assert_eq!(large, Some(SPEC));
        let deployment = assignment.deployment.expect("whose it is");
        let route = assignment.route.expect("a route");
        assert_eq!(deployment.id, route.deployment_id);
        assert_eq!(deployment.project, "shop");
        assert!(seen.insert(route.id), "each comes once");
    }
    // A commit has only what is new read and sent, however much is open.
    for more in 1..=MORE {
        let update = UpdateDeploymentRequest {
            deployment: "shop/large-0".to_owned(),
            target_replicas: i32::try_from(replicas + more).expect("few"),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["target_replicas".to_owned()],
            }),
            ..UpdateDeploymentRequest::default()
        };
        let updated = api.deployments().update_deployment(update).await;
        updated.expect("it is updated");
        for new in take(&mut stream, 1).await {
            assert!(seen.insert(new.route.expect("a route").id), "it is new");
        }
    }
    let list = ListAssignmentsRequest {
        resource_group: GROUP.to_owned(),
        page_size: 500,
        ..ListAssignmentsRequest::default()
    };
    let page = api.routes().list_assignments(list).await.expect("a page");
    let page = page.into_inner().assignments.len();
    assert!((40..60).contains(&page), "a page ends by bytes: {page}");
    bound.holds(&format!(
        "10 × {replicas} assignments with specs of {SPEC} bytes"
    ));
}

/// Deployments with a large spec each, without replicas that run.
async fn create(api: &Api, deployments: u32, replicas: u32) {
    for number in 0..deployments {
        let request = CreateDeploymentRequest {
            name: format!("large-{number}"),
            initial_revision: Some(RevisionSpec {
                image: "web:1".to_owned(),
                environ: [("LARGE".to_owned(), "x".repeat(SPEC))].into(),
                ..RevisionSpec::default()
            }),
            ..creation(i32::try_from(replicas).expect("few"), manual())
        };
        api.create(request).await.expect("created");
    }
}

async fn watch(api: &Api) -> Streaming<WatchAssignmentsResponse> {
    let request = WatchAssignmentsRequest {
        resource_group: GROUP.to_owned(),
    };
    let stream = api.routes().watch_assignments(request).await;
    stream.expect("a watch").into_inner()
}

/// The next assignments.
async fn take(stream: &mut Streaming<WatchAssignmentsResponse>, count: u32) -> Vec<Assignment> {
    let mut taken = Vec::new();
    while taken.len() < count as usize {
        let message = within("an assignment", stream.message()).await;
        let message = message.expect("it goes on").expect("it goes on");
        if let Some(Payload::Assignment(assignment)) = message.payload {
            taken.push(assignment);
        }
    }
    taken
}

/// Replicas that are added one by one.
const MORE: u32 = 10;
/// Bytes.
const SPEC: usize = 60_000;
