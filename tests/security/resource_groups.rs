//! Agents whose credentials name resource groups.

use tonic::{Code, Status, Streaming};
use viridian_proto::v1::{
    Assignment, CreateDeploymentRequest, DeploymentMetadata, ListAssignmentsRequest, ReportResult,
    ReportRouteHealthRequest, ReportRouteStatusesRequest, RevisionSpec, RouteHealthReport,
    RouteHealthStatus, RouteServiceListRoutesRequest, RouteStatus, RouteStatusReport,
    WatchAssignmentsRequest, WatchRoutesRequest, WatchRoutesResponse,
    watch_assignments_response::Payload, watch_routes_response::Payload as RoutePayload,
};

use super::staff::{Client, GuardedServer, of_token};
use crate::harness::{creation, finish, manual, refused, viridian, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_an_agent_has_the_routes_of_its_groups_and_no_others() {
    let guarded = start().await;
    let (bound, free) = (
        client(&guarded, "bound").await,
        client(&guarded, "free").await,
    );
    let own = assignment(&bound, "gpu").await.expect("its group");
    let other = assignment(&free, "edge").await.expect("any group");
    for group in ["edge", "", "default", "gpu "] {
        let listed = assignment(&bound, group).await.expect_err(group);
        let request = WatchAssignmentsRequest {
            resource_group: group.to_owned(),
        };
        let watched = bound.routes().watch_assignments(request).await;
        for status in [listed, watched.expect_err(group)] {
            let reason = "RESOURCE_GROUP_NOT_ALLOWED";
            let details = refused(&status, Code::PermissionDenied, reason);
            let info = details.error_info().expect("an ErrorInfo");
            let asked = if group.is_empty() { "default" } else { group };
            assert_eq!(info.metadata["resource_group"], asked);
        }
    }
    // Each in its own result, in the order of the reports.
    let routes = [&other, &own, &other].map(|it| it.route.clone().expect("a route").id);
    let [foreign, fine, again] = &statuses(&bound, &routes).await[..] else {
        panic!("one a report")
    };
    for result in [foreign, again] {
        assert!(!result.applied && !result.retry, "{result:?}");
        assert!(result.error.contains("resource group"), "{result:?}");
    }
    assert!(fine.applied, "{fine:?}");
    let [foreign, fine] = &healths(&bound, &routes[..2]).await[..] else {
        panic!("one a report")
    };
    assert!(!foreign.applied && fine.applied, "{foreign:?} {fine:?}");
    // The route is as it was: its own agent has it.
    let [fine] = &statuses(&free, &routes[..1]).await[..] else {
        panic!("one a report")
    };
    assert!(fine.applied, "{fine:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_a_watch_ends_when_its_group_is_taken_away() {
    let guarded = start().await;
    let bound = client(&guarded, "bound").await;
    let request = WatchAssignmentsRequest {
        resource_group: "gpu".to_owned(),
    };
    let reply = bound.routes().watch_assignments(request.clone()).await;
    let mut watch = reply.expect("its group").into_inner();
    let first = within("the open one", watch.message())
        .await
        .expect("a stream");
    let payload = first.expect("a message").payload;
    assert!(
        matches!(payload, Some(Payload::Assignment(_))),
        "{payload:?}"
    );
    guarded
        .file
        .replace(&[operator(), agent("bound", &["edge"])]);
    let end = within("its end", async {
        loop {
            if let Err(status) = watch.message().await {
                return status;
            }
        }
    });
    refused(&end.await, Code::Unavailable, "CREDENTIALS_CHANGED");
    let again = bound.routes().watch_assignments(request).await;
    let status = again.expect_err("it is not its group any more");
    refused(
        &status,
        Code::PermissionDenied,
        "RESOURCE_GROUP_NOT_ALLOWED",
    );
}

/// Of a group that two projects share, each agent sees the routes of its own project.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d9_an_agent_sees_the_routes_of_its_groups_and_projects_alone() {
    let of_bank = of_token("banker", "vrd_banker", &["agent"], &["bank"]);
    let staff = [
        operator(),
        agent("bound", &["gpu"]),
        agent("free", &[]),
        of_bank,
    ];
    let guarded = GuardedServer::start(&staff).await;
    let operator = client(&guarded, "operator").await;
    let bound = client(&guarded, "bound").await;
    let banker = client(&guarded, "banker").await;
    for group in ["edge", ""] {
        let list = RouteServiceListRoutesRequest {
            resource_group: group.to_owned(),
            ..RouteServiceListRoutesRequest::default()
        };
        let listed = bound.routes().list_routes(list).await.expect_err(group);
        let watched = bound.routes().watch_routes(of_group(group, "")).await;
        for status in [listed, watched.expect_err(group)] {
            let reason = "RESOURCE_GROUP_NOT_ALLOWED";
            refused(&status, Code::PermissionDenied, reason);
        }
    }
    let mut of_both = follow(&bound, &of_group("gpu", "")).await;
    let mut of_bank = follow(&banker, &of_group("gpu", "")).await;
    for project in ["shop", "bank"] {
        let request = CreateDeploymentRequest {
            project: project.to_owned(),
            ..creation_in("gpu")
        };
        let created = operator.deployments().create_deployment(request).await;
        created.expect("created");
        assert_eq!(next_route(&mut of_both).await, project);
    }
    assert_eq!(next_route(&mut of_bank).await, "bank", "and none of shop");
    for (client, expected) in [(&bound, 2), (&banker, 1)] {
        let list = RouteServiceListRoutesRequest {
            resource_group: "gpu".to_owned(),
            ..RouteServiceListRoutesRequest::default()
        };
        let page = client.routes().list_routes(list).await.expect("a page");
        let page = page.into_inner();
        assert_eq!(page.routes.len(), expected);
        // What the revision runs with is in no route.
        assert!(!format!("{page:?}").contains(VALUE));
    }
    // A token is of the projects that its caller had: others would be missing.
    let token = next_token(&mut of_bank).await;
    let status = bound.routes().watch_routes(of_group("gpu", &token)).await;
    let status = status.expect_err("a token of fewer projects");
    refused(&status, Code::OutOfRange, "RESUME_TOKEN_EXPIRED");
    let mut again = follow(&banker, &of_group("gpu", &token)).await;
    next_token(&mut again).await;
    guarded.file.replace(&[self::operator()]);
    let end = within("its end", async {
        loop {
            if let Err(status) = of_bank.message().await {
                return status;
            }
        }
    });
    refused(&end.await, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_a_new_token_may_be_bound_to_groups() {
    let token = |role: &'static str| {
        finish(viridian(&[
            "token",
            "--name",
            "a",
            "--role",
            role,
            "--project",
            "*",
            "--resource-group",
            "gpu",
            "--resource-group",
            "edge",
        ]))
    };
    let made = token("agent").await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let line = "resource_groups = [\"gpu\", \"edge\"]";
    assert!(made.stdout.contains(line), "{made:?}");
    let refused = token("viewer").await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("needs the role agent"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g14_an_agent_takes_no_commands_in_clear_from_another_machine() {
    // Of TEST-NET-1: nobody answers there, and a refusal comes before any call.
    for more in [
        &[] as &[&str],
        &["--token", "vrd_a"],
        &["--token", "vrd_a", "--token-in-clear"],
    ] {
        let server = ["agent", "--server", "http://192.0.2.1:50051"];
        let run = finish(viridian(&[&server[..], more].concat())).await;
        assert_eq!(run.code, Some(100), "{run:?}");
        for part in ["192.0.2.1", "https://", "--insecure"] {
            assert!(run.stderr.contains(part), "{run:?}");
        }
    }
}

/// A server with a route of the group `gpu`, and one of `edge`.
async fn start() -> GuardedServer {
    let guarded =
        GuardedServer::start(&[operator(), agent("bound", &["gpu"]), agent("free", &[])]).await;
    let operator = client(&guarded, "operator").await;
    for group in ["gpu", "edge"] {
        let request = CreateDeploymentRequest {
            name: group.to_owned(),
            metadata: Some(DeploymentMetadata {
                resource_group: group.to_owned(),
                ..DeploymentMetadata::default()
            }),
            ..creation(1, manual())
        };
        let created = operator.deployments().create_deployment(request).await;
        created.expect("created");
    }
    guarded
}

fn creation_in(group: &str) -> CreateDeploymentRequest {
    let request = creation(1, manual());
    let environ = [("SECRET".to_owned(), VALUE.to_owned())].into();
    CreateDeploymentRequest {
        metadata: Some(DeploymentMetadata {
            resource_group: group.to_owned(),
            ..DeploymentMetadata::default()
        }),
        initial_revision: request
            .initial_revision
            .map(|spec| RevisionSpec { environ, ..spec }),
        ..creation(1, manual())
    }
}

fn of_group(group: &str, token: &str) -> WatchRoutesRequest {
    WatchRoutesRequest {
        resource_group: group.to_owned(),
        resume_token: token.to_owned(),
        ..WatchRoutesRequest::default()
    }
}

async fn follow(client: &Client, request: &WatchRoutesRequest) -> Streaming<WatchRoutesResponse> {
    let reply = client.routes().watch_routes(request.clone()).await;
    reply.expect("a watch").into_inner()
}

async fn next(watch: &mut Streaming<WatchRoutesResponse>) -> RoutePayload {
    let message = within("a message", watch.message()).await;
    let message = message.expect("it goes on").expect("no end");
    message.payload.expect("a payload")
}

/// The project of the next route.
async fn next_route(watch: &mut Streaming<WatchRoutesResponse>) -> String {
    loop {
        if let RoutePayload::Route(route) = next(watch).await {
            return route.deployment.expect("a deployment").project;
        }
    }
}

/// The token of the next progress.
async fn next_token(watch: &mut Streaming<WatchRoutesResponse>) -> String {
    loop {
        if let RoutePayload::Progress(progress) = next(watch).await {
            return progress.resume_token;
        }
    }
}

const VALUE: &str = "not-for-everyone";

fn operator() -> String {
    of_token("operator", "vrd_operator", &["operator"], &["*"])
}

fn agent(name: &str, groups: &[&str]) -> String {
    let entry = of_token(name, &format!("vrd_{name}"), &["agent"], &["*"]);
    format!("{}\nresource_groups = {groups:?}\n\n", entry.trim_end())
}

async fn client(guarded: &GuardedServer, name: &str) -> Client {
    guarded.client(&format!("vrd_{name}")).await
}

/// The open assignment of a group.
async fn assignment(client: &Client, group: &str) -> Result<Assignment, Status> {
    let request = ListAssignmentsRequest {
        resource_group: group.to_owned(),
        ..ListAssignmentsRequest::default()
    };
    let reply = client.routes().list_assignments(request).await?;
    let mut open = reply.into_inner().assignments.into_iter();
    Ok(open.next().expect("one is open"))
}

/// Reports routes as RUNNING.
async fn statuses(client: &Client, routes: &[String]) -> Vec<ReportResult> {
    let report = |id: &String| RouteStatusReport {
        route_id: id.clone(),
        status: RouteStatus::Running.into(),
        address: "127.0.0.1:8080".to_owned(),
        ..RouteStatusReport::default()
    };
    let request = ReportRouteStatusesRequest {
        reports: routes.iter().map(report).collect(),
    };
    let reply = client.routes().report_route_statuses(request).await;
    reply.expect("results").into_inner().results
}

/// Reports routes as HEALTHY.
async fn healths(client: &Client, routes: &[String]) -> Vec<ReportResult> {
    let report = |id: &String| RouteHealthReport {
        route_id: id.clone(),
        health: RouteHealthStatus::Healthy.into(),
        ..RouteHealthReport::default()
    };
    let request = ReportRouteHealthRequest {
        reports: routes.iter().map(report).collect(),
    };
    let reply = client.routes().report_route_health(request).await;
    reply.expect("results").into_inner().results
}
