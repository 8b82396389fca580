//! Whose deployments one sees where no call names any.

use tonic::{Code, Status, Streaming};
use uuid::Uuid;
use viridian_proto::v1::{
    GetTrafficRequest, ListAssignmentsRequest, PauseDeploymentRequest, ReportRouteStatusesRequest,
    RouteStatus, RouteStatusReport, WatchAssignmentsRequest, WatchDeploymentsRequest,
    WatchTrafficRequest, WatchTrafficResponse, watch_assignments_response,
    watch_deployments_response, watch_traffic_response,
};

use super::staff::{Client, GuardedServer, of_token};
use crate::harness::{GROUP, eventually, refused, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_list_has_what_is_theirs() {
    let env = ProjectsEnv::start().await;
    let viewer = env.guarded.client("vrd_viewer").await;
    assert_eq!(viewer.list("").await.expect("a list"), ["shop/web"]);
    assert_eq!(viewer.list("shop").await.expect("a list"), ["shop/web"]);
    let status = viewer.list("bank").await.expect_err("it is not theirs");
    let details = refused(&status, Code::PermissionDenied, "PROJECT_NOT_ALLOWED");
    let info = details.error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["project"], "bank");
    // Whether there is such a project, they are not told.
    let other = viewer.list("no-such-project").await.expect_err("nor is it");
    refused(&other, Code::PermissionDenied, "PROJECT_NOT_ALLOWED");
    let all = env.root.list("").await.expect("a list");
    assert_eq!(all, ["shop/web", "bank/web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_watch_that_is_not_theirs_is_of_no_use() {
    let env = ProjectsEnv::start().await;
    let viewer = env.guarded.client("vrd_viewer").await;
    let [_, bank] = &env.ids;
    let of_project = WatchDeploymentsRequest {
        project: "bank".to_owned(),
        ..WatchDeploymentsRequest::default()
    };
    let of_one = WatchDeploymentsRequest {
        deployments: vec![bank.clone()],
        ..WatchDeploymentsRequest::default()
    };
    for (request, code) in [
        (of_project, Code::PermissionDenied),
        (of_one, Code::NotFound),
    ] {
        let stream = env.root.deployments().watch_deployments(request).await;
        let mut stream = stream.expect("a stream").into_inner();
        let first = within("an event", stream.message())
            .await
            .expect("it goes on");
        let payload = first.and_then(|first| first.payload);
        let Some(watch_deployments_response::Payload::Event(event)) = payload else {
            panic!("{payload:?}");
        };
        let resume = WatchDeploymentsRequest {
            resume_token: event.resume_token,
            ..WatchDeploymentsRequest::default()
        };
        let refusal = viewer.deployments().watch_deployments(resume).await;
        assert_eq!(refusal.expect_err("it is not theirs").code(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_follows_the_tables_that_are_theirs() {
    let env = ProjectsEnv::start().await;
    let proxy = env.guarded.client("vrd_proxy").await;
    let [shop, bank] = &env.ids;
    let mut theirs = watch_all(&proxy).await.expect("a stream");
    assert_eq!(next(&mut theirs).await, *shop);

    // What is new is theirs too if its project is, and if not, is passed over.
    env.root.create("bank", "new", 0).await.expect("created");
    let new = env.root.create("shop", "new", 0).await.expect("created");
    assert_eq!(next(&mut theirs).await, new.id);

    let mut everyones = watch_all(&env.root).await.expect("a stream");
    let mut seen = vec![next(&mut everyones).await, next(&mut everyones).await];
    seen.sort();
    let mut both = vec![shop.clone(), bank.clone()];
    both.sort();
    assert_eq!(seen, both, "the oldest come first");

    for (deployment, code) in [
        ("bank/web", Code::PermissionDenied),
        (bank.as_str(), Code::NotFound),
    ] {
        let deployment = deployment.to_owned();
        let request = WatchTrafficRequest {
            deployments: vec![shop.clone(), deployment.clone()],
            all: false,
            ..WatchTrafficRequest::default()
        };
        let refusal = proxy.traffic().watch_traffic(request).await;
        assert_eq!(refusal.expect_err("one is not theirs").code(), code);
        let refusal = proxy
            .traffic()
            .get_traffic(GetTrafficRequest { deployment })
            .await;
        assert_eq!(refusal.expect_err("it is not theirs").code(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_names_only_what_is_theirs() {
    let env = ProjectsEnv::start().await;
    let viewer = env.guarded.client("vrd_viewer").await;
    for (deployments, project, reason) in [
        (vec!["shop/web", "bank/web"], "", "PROJECT_NOT_ALLOWED"),
        (vec!["shop/web", &env.ids[1]], "", "DEPLOYMENT_NOT_FOUND"),
        (vec![], "bank", "PROJECT_NOT_ALLOWED"),
    ] {
        let request = WatchDeploymentsRequest {
            deployments: deployments.into_iter().map(Into::into).collect(),
            project: project.to_owned(),
            ..WatchDeploymentsRequest::default()
        };
        let refusal = viewer.deployments().watch_deployments(request).await;
        let refusal = refusal.expect_err("it is not theirs");
        refused(&refusal, refusal.code(), reason);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_the_routes_that_are_theirs() {
    let env = ProjectsEnv::start().await;
    let agent = env.guarded.client("vrd_agent").await;
    let everything = assigned(&env.root).await;
    let [shop, bank] = &env.ids;
    assert_eq!(of(&everything, shop).len(), 2);
    assert_eq!(of(&everything, bank).len(), 2);
    let theirs = assigned(&agent).await;
    assert_eq!(theirs, of(&everything, shop));

    let request = WatchAssignmentsRequest {
        resource_group: GROUP.to_owned(),
    };
    let stream = agent.routes().watch_assignments(request).await;
    let mut stream = stream.expect("a stream").into_inner();
    for _ in 0..2 {
        let message = within("an assignment", stream.message()).await;
        let message = message.expect("a stream").expect("an assignment");
        let Some(watch_assignments_response::Payload::Assignment(it)) = message.payload else {
            panic!("an assignment: {message:?}")
        };
        assert_eq!(it.route.expect("a route").deployment_id, *shop);
    }

    // Theirs and others' in turn: each report has its own result.
    let [ours, others] = [of(&everything, shop), of(&everything, bank)];
    let reports = [&others[0], &ours[0], &others[1], &ours[1]];
    let mut port = 0;
    let reports = reports.map(|(_, route)| {
        port += 1;
        RouteStatusReport {
            route_id: route.clone(),
            status: RouteStatus::Running.into(),
            address: format!("127.0.0.1:{port}"),
            ..RouteStatusReport::default()
        }
    });
    let request = ReportRouteStatusesRequest {
        reports: reports.to_vec(),
    };
    let reply = agent.routes().report_route_statuses(request).await;
    let results = reply.expect("they are taken").into_inner().results;
    let applied: Vec<_> = results.iter().map(|result| result.applied).collect();
    assert_eq!(applied, [false, true, false, true], "{results:?}");
    for (result, report) in results.iter().zip(&reports) {
        assert_eq!(result.route_id, report.route_id);
        if !result.applied {
            assert_eq!(
                result.error,
                format!("there is no route {}", result.route_id)
            );
        }
    }
    let left = assigned(&env.root).await;
    assert_eq!(of(&left, bank).len(), 2, "nothing was reported of these");
    assert_eq!(of(&left, shop).len(), 0);
}

/// The reply to somebody else's call is not had by its request id.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_id_opens_no_other_project() {
    let env = ProjectsEnv::start().await;
    let request_id = Uuid::now_v7().to_string();
    let pause = |deployment: &str| PauseDeploymentRequest {
        deployment: deployment.to_owned(),
        request_id: request_id.clone(),
        ..PauseDeploymentRequest::default()
    };
    let mut root = env.root.deployments();
    root.pause_deployment(pause("bank/web"))
        .await
        .expect("paused");
    let promoter = env.guarded.client("vrd_promoter").await;
    let mut promoter = promoter.deployments();
    for (deployment, code) in [
        ("bank/web", Code::PermissionDenied),
        (env.ids[1].as_str(), Code::NotFound),
        // There is none of that name, so that the id would say which is meant.
        ("shop/nothing", Code::NotFound),
    ] {
        let refusal = promoter.pause_deployment(pause(deployment)).await;
        assert_eq!(refusal.expect_err(deployment).code(), code, "{deployment}");
    }
    root.pause_deployment(pause("bank/web"))
        .await
        .expect("the first reply");
}

/// An id that one tenant uses is free for the others, whatever they do with it.
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_request_id_of_one_project_is_free_in_another() {
    let env = ProjectsEnv::start().await;
    let request_id = Uuid::now_v7().to_string();
    let pause = |deployment: &str| PauseDeploymentRequest {
        deployment: deployment.to_owned(),
        request_id: request_id.clone(),
        ..PauseDeploymentRequest::default()
    };
    let promoter = env.guarded.client("vrd_promoter").await;
    let mut promoter = promoter.deployments();
    let mut root = env.root.deployments();
    let theirs = root.pause_deployment(pause("bank/web")).await;
    let theirs = theirs.expect("paused").into_inner();
    // By name, by id, and as a repeat.
    for deployment in ["shop/web", env.ids[0].as_str(), "shop/web"] {
        let ours = promoter.pause_deployment(pause(deployment)).await;
        let refusal = match ours {
            Ok(reply) => {
                let paused = reply.into_inner().deployment.expect("a deployment");
                assert_eq!((paused.project.as_str(), paused.paused), ("shop", true));
                continue;
            }
            Err(refusal) => refusal,
        };
        // The same bytes are a repeat, and others reuse the id: within the project.
        assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
        assert_eq!(deployment, env.ids[0], "{refusal:?}");
    }
    let again = root.pause_deployment(pause("bank/web")).await;
    assert_eq!(again.expect("a repeat").into_inner(), theirs);
}

/// A server with two deployments of two routes each.
struct ProjectsEnv {
    guarded: GuardedServer,
    /// May do anything to all projects.
    root: Client,
    /// Of `shop/web` and `bank/web`.
    ids: [String; 2],
}

impl ProjectsEnv {
    async fn start() -> Self {
        let limited = ["viewer", "promoter", "agent", "proxy"]
            .map(|role| of_token(role, &format!("vrd_{role}"), &[role], &["shop"]));
        let roles = ["operator", "agent", "proxy"];
        let mut entries = limited.to_vec();
        entries.push(of_token("root", "vrd_root", &roles, &["*"]));
        let guarded = GuardedServer::start(&entries).await;
        let root = guarded.client("vrd_root").await;
        let shop = root.create("shop", "web", 2).await.expect("created").id;
        let bank = root.create("bank", "web", 2).await.expect("created").id;
        eventually("all routes", async || {
            (assigned(&root).await.len() == 4).then_some(())
        })
        .await;
        Self {
            guarded,
            root,
            ids: [shop, bank],
        }
    }
}

/// What is to be done: the deployment and the route of each assignment.
async fn assigned(client: &Client) -> Vec<(String, String)> {
    let request = ListAssignmentsRequest {
        resource_group: GROUP.to_owned(),
        page_size: 100,
        ..ListAssignmentsRequest::default()
    };
    let reply = client.routes().list_assignments(request).await;
    let assignments = reply.expect("they are listed").into_inner().assignments;
    let routes = assignments.into_iter().map(|it| it.route.expect("a route"));
    routes
        .map(|route| (route.deployment_id, route.id))
        .collect()
}

fn of(all: &[(String, String)], deployment: &str) -> Vec<(String, String)> {
    all.iter()
        .filter(|(of, _)| of == deployment)
        .cloned()
        .collect()
}

async fn watch_all(client: &Client) -> Result<Streaming<WatchTrafficResponse>, Status> {
    let request = WatchTrafficRequest {
        deployments: Vec::new(),
        all: true,
        ..WatchTrafficRequest::default()
    };
    let reply = client.traffic().watch_traffic(request).await?;
    Ok(reply.into_inner())
}

/// The deployment of the next table.
async fn next(stream: &mut Streaming<WatchTrafficResponse>) -> String {
    loop {
        let message = within("the next table", stream.message()).await;
        let message = message.expect("a stream").expect("a table");
        if let Some(watch_traffic_response::Payload::Table(table)) = message.payload {
            return table.deployment_id;
        }
    }
}
