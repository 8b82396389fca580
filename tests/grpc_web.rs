//! gRPC-Web, as a browser speaks it: over HTTP/1.1, without a client of gRPC.

use prost::Message as _;
use reqwest::Method;
use rstest::rstest;
use tonic::{Code, Status};
use viridian_proto::v1::{GetDeploymentRequest, GetDeploymentResponse, WatchAssignmentsRequest};

use crate::{
    harness::{
        Engine, REFERENCE, Server, creation, manual, refused,
        web::{ask, call, frames, request},
    },
    security::staff::{GuardedServer, of_token},
};

const WEB: [&str; 3] = [
    "--grpc-web",
    "--grpc-web-origin",
    "https://console.example.org",
];

#[tokio::test]
async fn a_browser_can_call() {
    let server = Server::start_with(Engine::Sqlite, &WEB).await;
    let api = server.api().await;
    let created = api.create(creation(0, manual())).await;
    let created = created.expect("gRPC itself goes on");

    let reply = call(&server, GET, &get(REFERENCE), &[]).await;
    assert_eq!(
        reply.headers()["content-type"],
        "application/grpc-web+proto"
    );
    assert!(reply.headers().contains_key("x-request-id"));
    let (message, trailers) = frames(reply).await;
    let message = GetDeploymentResponse::decode(&*message.expect("a message"));
    let found = message.expect("it can be read").deployment;
    assert_eq!(found.expect("a deployment").id, created.id);
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn a_browser_is_told_why_not() {
    let server = Server::start_with(Engine::Sqlite, &WEB).await;
    let reply = call(&server, GET, &get("shop/nope"), &[]).await;
    // Nothing comes before it, so that it stands in the header.
    let status = Status::from_header_map(reply.headers()).expect("a status");
    refused(&status, Code::NotFound, "DEPLOYMENT_NOT_FOUND");

    let timeout = [("grpc-timeout", "300m")];
    let all = WatchAssignmentsRequest::default();
    let reply = call(&server, WATCH, &all, &timeout).await;
    let (_, trailers) = frames(reply).await;
    let status = Status::from_header_map(&trailers).expect("a status");
    refused(&status, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn pages_of_other_origins_may_call_if_they_are_named() {
    let server = Server::start_with(Engine::Sqlite, &WEB).await;
    for (origin, allowed) in [
        ("https://console.example.org", true),
        ("https://evil.example.org", false),
    ] {
        let asked = ask(&server, Method::OPTIONS, GET)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-grpc-web,authorization");
        let reply = asked.send().await.expect("an answer");
        let told = reply.headers().get("access-control-allow-origin");
        assert_eq!(told.is_some_and(|it| it == origin), allowed, "{reply:?}");
        let reply = call(&server, GET, &get(REFERENCE), &[("origin", origin)]).await;
        let told = reply.headers().get("access-control-allow-origin");
        assert_eq!(told.is_some_and(|it| it == origin), allowed, "{reply:?}");
        // It is the server that refuses: a browser only hides the reply.
        let status = Status::from_header_map(reply.headers()).expect("a status");
        if allowed {
            refused(&status, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
        } else {
            refused(&status, Code::PermissionDenied, "ORIGIN_NOT_ALLOWED");
        }
        let exposed = reply.headers().get("access-control-expose-headers");
        let exposed = exposed
            .expect("what a page may see")
            .to_str()
            .expect("text");
        assert!(exposed.contains("grpc-status-details-bin"), "{exposed}");
    }
}

/// A page whose name was made to lead to this machine is of one origin with the server.
#[rstest]
#[case::rebound(&[("host", "rebound.example:7443"), ("origin", "http://rebound.example:7443")], "HOST_NOT_ALLOWED")]
#[case::without_an_origin(&[("host", "rebound.example:7443")], "HOST_NOT_ALLOWED")]
#[case::as_grpc(&[("host", "rebound.example"), ("content-type", "application/grpc")], "HOST_NOT_ALLOWED")]
#[case::foreign(&[("origin", "https://evil.example.org")], "ORIGIN_NOT_ALLOWED")]
#[case::of_a_file(&[("origin", "null")], "ORIGIN_NOT_ALLOWED")]
#[tokio::test]
async fn g7_a_page_of_a_stranger_creates_nothing(
    #[case] headers: &[(&str, &str)],
    #[case] reason: &str,
) {
    let server = Server::start_with(Engine::Sqlite, &WEB).await;
    let mut create = request(&server, CREATE, &creation(0, manual()));
    for (name, value) in headers {
        create = create.header(*name, *value);
    }
    let reply = create.send().await.expect("an answer");
    if let Some(status) = Status::from_header_map(reply.headers()) {
        refused(&status, Code::PermissionDenied, reason);
    } else {
        assert!(reply.status().is_client_error(), "{reply:?}");
    }
    let found = call(&server, GET, &get(REFERENCE), &[]).await;
    let status = Status::from_header_map(found.headers()).expect("a status");
    refused(&status, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    // The same call from this machine is taken.
    let created = call(&server, CREATE, &creation(0, manual()), &[]).await;
    let (_, trailers) = frames(created).await;
    assert_eq!(trailers["grpc-status"], "0");
}

#[tokio::test]
async fn g7_with_credentials_any_name_is_taken_and_no_foreign_page() {
    let entries = [of_token("ci", "vrd_ci", &["operator"], &["*"])];
    let guarded = GuardedServer::start_with(&entries, |command| {
        command.args(WEB);
    })
    .await;
    let server = &guarded.server;
    let shown = ("authorization", "Bearer vrd_ci");
    let named = [("host", "viridian.example.org"), shown];
    let reply = call(server, GET, &get(REFERENCE), &named).await;
    let status = Status::from_header_map(reply.headers()).expect("a status");
    refused(&status, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    let foreign = [("origin", "https://evil.example.org"), shown];
    let reply = call(server, GET, &get(REFERENCE), &foreign).await;
    let status = Status::from_header_map(reply.headers()).expect("a status");
    refused(&status, Code::PermissionDenied, "ORIGIN_NOT_ALLOWED");
}

#[tokio::test]
async fn what_is_neither_is_refused() {
    let server = Server::start_with(Engine::Sqlite, &WEB).await;
    let plain = ask(&server, Method::GET, "")
        .send()
        .await
        .expect("an answer");
    assert_eq!(plain.status().as_u16(), 400);
}

#[tokio::test]
async fn without_the_flag_there_is_none() {
    let server = Server::start(Engine::Sqlite).await;
    let reply = request(&server, GET, &get(REFERENCE)).send().await;
    reply.expect_err("it speaks HTTP/2 only");
}

fn get(reference: &str) -> GetDeploymentRequest {
    GetDeploymentRequest {
        deployment: reference.to_owned(),
    }
}

const CREATE: &str = "DeploymentService/CreateDeployment";
const GET: &str = "DeploymentService/GetDeployment";
const WATCH: &str = "RouteService/WatchAssignments";
