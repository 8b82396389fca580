//! What the server tells of itself: metrics, and one line in the log for what
//! went wrong or moved.

mod monitoring;

use std::time::Duration;

use serde_json::Value;
use tonic::{Code, Request};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use uuid::Uuid;
use viridian_proto::v1::{GetDeploymentRequest, WatchAssignmentsRequest};

use crate::harness::{Engine, METRICS, REFERENCE, Server, creation, eventually, manual, refused};

#[tokio::test]
async fn calls_are_measured() {
    let flags = [&METRICS[..], &["--max-streams", "1"]].concat();
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let api = server.api().await;
    api.create(creation(0, manual()))
        .await
        .expect("a deployment");
    for _ in 0..3 {
        api.get(REFERENCE).await;
    }
    api.find("shop/nope").await.expect_err("there is none");
    let group = WatchAssignmentsRequest::default;
    let stream = api.routes().watch_assignments(group()).await;
    let stream = stream.expect("a stream");
    let second = api.routes().watch_assignments(group()).await;
    second.expect_err("one too many");

    let metrics = server.metrics().await;
    for (series, value) in [
        (&*get("started_total", ""), 4.0),
        (&get("handled_total", r#",code="OK""#), 3.0),
        (&get("handled_total", r#",code="NOT_FOUND""#), 1.0),
        (&get("duration_seconds_count", ""), 4.0),
        (&get("duration_seconds_bucket", r#",le="+Inf""#), 4.0),
        (&watch("streams", ""), 1.0),
        (&watch("started_total", ""), 2.0),
        (
            &watch("handled_total", r#",code="RESOURCE_EXHAUSTED""#),
            1.0,
        ),
        (r#"viridian_rpc_rejected_total{limit="streams"}"#, 1.0),
        ("viridian_rpc_in_flight", 0.0),
        ("viridian_connections", 1.0),
    ] {
        assert_eq!(metrics.value(series), value, "{series}\n{}", metrics.text());
    }
    let seconds = metrics.value(&get("duration_seconds_sum", ""));
    assert!(seconds > 0.0 && seconds < 30.0, "{seconds} s");
    assert!(!metrics.text().contains(
        "duration_seconds_count{method=\"viridian.deployment.v1.RouteService/WatchAssignments\"}"
    ));
    for kind in [
        "viridian_rpc_started_total counter",
        "viridian_rpc_duration_seconds histogram",
    ] {
        assert!(
            metrics.text().contains(&format!("# TYPE {kind}\n")),
            "{kind}"
        );
    }
    drop(stream);
    eventually("the end of the stream", async || {
        let metrics = server.metrics().await;
        let ended = metrics.value(&watch("handled_total", r#",code="CANCELLED""#));
        (ended == 1.0 && metrics.value(&watch("streams", "")) == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_fails_is_one_line_with_all_that_leads_to_it() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let mut request = get_request("shop/nope");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (name, value) in [("x-request-id", "order-66"), ("traceparent", trace)] {
        let value = value.parse().expect("a value");
        request.metadata_mut().insert(name, value);
    }
    let refusal = api.deployments().get_deployment(request).await;
    let refusal = refusal.expect_err("there is none");
    refused(&refusal, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    assert_eq!(
        refusal
            .metadata()
            .get("x-request-id")
            .expect("it comes back"),
        "order-66"
    );

    let line = eventually("the line", async || lines(&server, "failed").pop()).await;
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["code"], "NOT_FOUND");
    assert_eq!(line["reason"], refusal.message());
    assert!(
        line["seconds"].as_f64().is_some_and(|it| it > 0.0),
        "{line}"
    );
    let span = &line["span"];
    assert_eq!(
        span["method"],
        "viridian.deployment.v1.DeploymentService/GetDeployment"
    );
    assert_eq!(span["request_id"], "order-66");
    assert_eq!(span["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(span["parent_id"], "00f067aa0ba902b7");
    assert!(span["actor"].is_string(), "{line}");

    let mut client = api.deployments();
    let reply = client.get_deployment(get_request("shop/nope")).await;
    let refusal = reply.expect_err("there is none");
    let made = refusal.metadata().get("x-request-id").expect("one is made");
    Uuid::parse_str(made.to_str().expect("text")).expect("a UUID");
}

#[tokio::test]
async fn what_goes_well_is_no_line() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let created = api.create(creation(0, manual())).await;
    created.expect("a deployment");
    // Nothing more is to be moved then.
    eventually("its moves", async || {
        (lines(&server, "moved").len() == 2).then_some(())
    })
    .await;
    let before = server.log();
    let mut request = get_request(REFERENCE);
    request
        .metadata_mut()
        .insert("x-request-id", "mine".parse().expect("a value"));
    let reply = api.deployments().get_deployment(request).await;
    let reply = reply.expect("it is there");
    assert_eq!(
        reply.metadata().get("x-request-id").expect("it comes back"),
        "mine"
    );
    let mut health = HealthClient::new(api.channel());
    let unknown = HealthCheckRequest {
        service: "nope".to_owned(),
    };
    health
        .check(HealthCheckRequest::default())
        .await
        .expect("it serves");
    let refusal = health.check(unknown).await.expect_err("no such service");
    refused(&refusal, Code::NotFound, "NOT_FOUND");
    // This one has a line, so that all before would have been written by now.
    api.find("shop/nope").await.expect_err("there is none");
    eventually("the line", async || lines(&server, "failed").pop()).await;
    let log = server.log();
    let new = log.strip_prefix(&before).expect("logs only grow");
    assert_eq!(new.trim().lines().count(), 1, "{new}");
}

#[tokio::test]
async fn nothing_is_told_where_nobody_asked_for_it() {
    let server = Server::start(Engine::Sqlite).await;
    assert_eq!(server.metrics_url(), None);
    let page = reqwest::Client::new().get(format!("{}/metrics", server.url()));
    page.timeout(Duration::from_secs(5))
        .send()
        .await
        .expect_err("that is gRPC only");
}

fn get(name: &str, labels: &str) -> String {
    let method = "viridian.deployment.v1.DeploymentService/GetDeployment";
    format!(r#"viridian_rpc_{name}{{method="{method}"{labels}}}"#)
}

fn watch(name: &str, labels: &str) -> String {
    let method = "viridian.deployment.v1.RouteService/WatchAssignments";
    format!(r#"viridian_rpc_{name}{{method="{method}"{labels}}}"#)
}

fn get_request(reference: &str) -> Request<GetDeploymentRequest> {
    Request::new(GetDeploymentRequest {
        deployment: reference.to_owned(),
    })
}

/// The lines of the log with these words.
fn lines(server: &Server, words: &str) -> Vec<Value> {
    let log = server.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["message"] == words)
        .collect()
}
