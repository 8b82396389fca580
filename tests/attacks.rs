//! What a peer can make the server hold, before it has shown who it is and after. Each
//! attack is measured by the largest resident set of the real program, and by what others
//! get meanwhile. A tenth of the load; `scripts/full-counts` has it in full.

mod flood;
mod others;
mod specs;

use std::time::Duration;

use rstest::rstest;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use viridian_proto::v1::{GetDeploymentRequest, WatchAssignmentsRequest, WatchDeploymentsRequest};

pub(crate) use self::others::{Bystander, report};
use self::{
    flood::{Flood, FloodConnection, Request},
    others::MemoryBound,
};
use crate::{
    harness::{Engine, METRICS, Server, count, eventually, refused, within},
    security::staff::{GuardedServer, of_token},
};

/// Nobody has shown anything: health checks with 12 KB of headers whose message never comes.
#[rstest]
#[case::g1_health_checks(CHECK, 10, true)]
#[case::g1_health_checks_of_an_address_with_many_connections(CHECK, 76, true)]
#[case::g1_health_checks_whose_refusals_are_not_read(CHECK, 10, false)]
#[case::g1_reflection(REFLECTION, 10, true)]
#[case::g1_methods_that_there_are_not("/viridian.deployment.v1.DeploymentService/Nope", 10, true)]
#[case::g1_calls_that_need_credentials(GET, 10, true)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_calls_without_credentials_take_bounded_memory(
    #[case] path: &str,
    #[case] connections: u32,
    #[case] reads: bool,
) {
    let guarded = guarded(&[]).await;
    let others = Bystander::begin(&guarded, "vrd_operator").await;
    let bound = MemoryBound::of(&guarded.server);
    let request = Request::new(path).header("x-filler", &"x".repeat(12_000));
    let mut flood = Flood::default();
    for _ in 0..connections {
        let mut connection = FloodConnection::open(&guarded.server, "127.0.1.1", reads).await;
        connection.begin_calls(&request, 100 * load()).await;
        flood.add(connection);
    }
    if reads {
        // Probes have a budget for each address; anything else is denied.
        flood.answered_but(if path == CHECK { 64 } else { 0 }).await;
    }
    flood.goes_on(Duration::from_secs(1)).await;
    let served = others.end().await;
    bound.holds(&format!("{path} over {connections} connections, {served}"));
}

/// The same on a server that knows nobody: all callers of an address are one.
#[rstest]
#[case::g1_reflection(REFLECTION)]
#[case::g1_calls(GET)]
#[case::g1_watches(WATCH)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_calls_to_a_server_without_credentials_take_bounded_memory(#[case] path: &str) {
    let server = Server::start(Engine::Sqlite).await;
    let bound = MemoryBound::of(&server);
    let request = Request::new(path).header("x-filler", &"x".repeat(12_000));
    let mut flood = Flood::default();
    for _ in 0..10 {
        let mut connection = FloodConnection::open(&server, "127.0.1.1", true).await;
        connection.begin_calls(&request, 100 * load()).await;
        flood.add(connection);
    }
    flood.goes_on(Duration::from_secs(2)).await;
    // From another address, which is another caller.
    let api = server.api().await;
    let answer = within("an answer", api.find("shop/web")).await;
    refused(
        &answer.expect_err("none"),
        Code::NotFound,
        "DEPLOYMENT_NOT_FOUND",
    );
    bound.holds(path);
}

/// A viewer whose messages do not come is the only one who is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_one_caller_without_messages_keeps_nobody_out() {
    let guarded = guarded(&["--message-timeout", "20s"]).await;
    let others = Bystander::begin(&guarded, "vrd_operator").await;
    let bound = MemoryBound::of(&guarded.server);
    let request = Request::new(GET).header("authorization", "Bearer vrd_viewer");
    let mut flood = Flood::default();
    for _ in 0..2 {
        let mut connection = FloodConnection::open(&guarded.server, "127.0.0.1", true).await;
        // All of them: the limit is a number, and not a tenth of it.
        connection.begin_calls(&request, 600).await;
        flood.add(connection);
    }
    // Its share, and not one more.
    flood.answered_but(512).await;
    // Of the same address as the viewer, so that the share is the caller's own.
    let viewer = guarded.client("vrd_viewer").await;
    let refusal = viewer.deployments().get_deployment(get()).await;
    refused(
        &refusal.expect_err("its share is taken"),
        Code::ResourceExhausted,
        "TOO_MANY_REQUESTS",
    );
    for token in ["vrd_operator", "vrd_other_viewer"] {
        let client = guarded.client(token).await;
        let answer = client.deployments().get_deployment(get()).await;
        refused(
            &answer.expect_err("none"),
            Code::NotFound,
            "DEPLOYMENT_NOT_FOUND",
        );
    }
    let served = others.end().await;
    bound.holds(&format!("1,200 calls without a message, {served}"));
    // Their time is over before that of their connections.
    flood.answered_but(0).await;
    let answer = viewer.deployments().get_deployment(get()).await;
    refused(
        &answer.expect_err("none"),
        Code::NotFound,
        "DEPLOYMENT_NOT_FOUND",
    );
}

/// What has come of messages counts, too, and is far less than what would come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_messages_that_come_in_part_take_bounded_memory() {
    let guarded = guarded(&[]).await;
    let others = Bystander::begin(&guarded, "vrd_operator").await;
    let bound = MemoryBound::of(&guarded.server);
    let request = Request::new(GET)
        .header("authorization", "Bearer vrd_viewer")
        .message_part(200_000, 1_000_000);
    let mut flood = Flood::default();
    for _ in 0..2 {
        let mut connection = FloodConnection::open(&guarded.server, "127.0.0.1", true).await;
        connection.begin_calls(&request, 30 + 70 * load()).await;
        flood.add(connection);
    }
    let served = others.end().await;
    bound.holds(&format!(
        "calls with 200,000 bytes of 1,000,000 each, {served}"
    ));
    flood.answered_but(0).await;
}

/// Callers enough to take all that there is: schedulers and proxies still have a part.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_a_part_is_for_agents_and_proxies() {
    let guarded = guarded(&["--max-streams", "16"]).await;
    let operator = guarded.client("vrd_operator").await;
    operator
        .create("shop", "web", 0)
        .await
        .expect("a deployment");
    let mut streams = Vec::new();
    let refusal = loop {
        match operator.deployments().watch_deployments(watch()).await {
            Ok(stream) => streams.push(stream),
            Err(refusal) => break refusal,
        }
    };
    refused(&refusal, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    assert_eq!(streams.len(), 14, "all but an eighth");
    let agent = guarded.client("vrd_agent").await;
    let watch = WatchAssignmentsRequest::default();
    let mut client = agent.routes();
    client
        .watch_assignments(watch)
        .await
        .expect("a part is its own");
}

/// On one connection, as a client library opens them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_a_call_beside_a_thousand_watches_is_answered() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let mut watches = Vec::new();
    for _ in 0..1_000 {
        let mut client = api.routes();
        let watch = client.watch_assignments(WatchAssignmentsRequest::default());
        watches.push(within("a watch", watch).await.expect("a watch"));
    }
    let answer = within("an answer", api.find("shop/web")).await;
    refused(
        &answer.expect_err("none"),
        Code::NotFound,
        "DEPLOYMENT_NOT_FOUND",
    );
    let mut client = api.routes();
    let more = client.watch_assignments(WatchAssignmentsRequest::default());
    let more = within("an answer", more).await.expect_err("one more");
    refused(&more, Code::ResourceExhausted, "TOO_MANY_STREAMS");
}

/// Several callers on one connection, as behind a proxy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d5_streams_leave_room_for_calls_on_their_connection() {
    let flags = ["--max-calls-per-connection", "10"];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let api = server.api().await;
    let mut watches = Vec::new();
    for _ in 0..8 {
        let mut client = api.routes();
        let watch = client.watch_assignments(WatchAssignmentsRequest::default());
        watches.push(within("a watch", watch).await.expect("a watch"));
    }
    let mut client = api.routes();
    let more = client.watch_assignments(WatchAssignmentsRequest::default());
    let more = within("an answer", more).await.expect_err("one more");
    refused(&more, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    let answer = within("an answer", api.find("shop/web")).await;
    refused(
        &answer.expect_err("none"),
        Code::NotFound,
        "DEPLOYMENT_NOT_FOUND",
    );
}

/// Watches of the health service have a number of their own, of each address and in all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_watches_of_the_health_service_take_no_streams_of_others() {
    let guarded = guarded(&[&METRICS[..], &["--max-streams", "20"]].concat()).await;
    let others = Bystander::begin(&guarded, "vrd_operator").await;
    let bound = MemoryBound::of(&guarded.server);
    let request = Request::new(HEALTH_WATCH).message(&[]);
    let mut flood = Flood::default();
    for address in 1..=10 {
        let from = format!("127.0.2.{address}");
        let mut connection = FloodConnection::open(&guarded.server, &from, true).await;
        connection.begin_calls(&request, 100 * load()).await;
        flood.add(connection);
    }
    flood.goes_on(Duration::from_secs(1)).await;
    let metrics = guarded.server.metrics().await;
    let open = metrics.value("viridian_rpc_streams{method=\"grpc.health.v1.Health/Watch\"}");
    assert!((10.0..=1_024.0).contains(&open), "{open}");
    let operator = guarded.client("vrd_operator").await;
    operator
        .create("shop", "web", 0)
        .await
        .expect("a deployment");
    let mut agent = guarded.client("vrd_agent").await.routes();
    let watch = agent.watch_assignments(WatchAssignmentsRequest::default());
    watch.await.expect("its streams are its own");
    // From an address that is not among them.
    let mut health = HealthClient::new(guarded.server.api().await.channel());
    let answer = health.check(HealthCheckRequest::default()).await;
    answer.expect("probes of others are answered");
    let served = others.end().await;
    bound.holds(&format!("watches of health from 10 addresses, {served}"));
}

/// What is refused is counted, and not a line each.
#[rstest]
#[case::g9_without_a_credential(Request::new(GET).message(&[]), "a call was denied")]
#[case::g9_with_a_wrong_one(
    Request::new(GET).header("authorization", "Bearer vrd_wrong").message(&[]), "a call was denied",
)]
#[case::g9_with_one_that_may_not(
    Request::new(CREATE).header("authorization", "Bearer vrd_viewer").message(&[]),
    "a call was denied",
)]
#[case::g9_about_nothing(
    Request::new(GET).header("authorization", "Bearer vrd_viewer").message(&[]), "failed",
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_a_flood_of_refused_calls_is_no_flood_of_lines(
    #[case] request: Request,
    #[case] words: &str,
) {
    let guarded = guarded(&METRICS).await;
    let others = Bystander::begin(&guarded, "vrd_operator").await;
    let mut connection = FloodConnection::open(&guarded.server, "127.0.1.1", true).await;
    let total = 2_000 * load();
    for _ in 0..20 * load() {
        connection.begin_calls(&request, 100).await;
        connection.answered().await;
    }
    let served = others.end().await;
    let log = guarded.server.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("\"rpc\"") || line.contains(words));
    let lines = lines.count();
    others::report(&format!("{total} refused calls: {lines} lines, {served}"));
    assert!(lines > 0, "some are logged:\n{log}");
    assert!(lines < 250, "{lines} lines of {total} calls");
}

/// A good credential is good behind the same address, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g9_calls_without_credentials_have_a_rate_of_their_own() {
    let guarded = guarded(&["--max-anonymous-rate", "1"]).await;
    let stranger = guarded.stranger().await;
    let refusal = eventually("a refusal by the rate", async || {
        let answer = stranger.deployments().get_deployment(get()).await;
        let refusal = answer.expect_err("it is denied");
        (refusal.code() != Code::Unauthenticated).then_some(refusal)
    })
    .await;
    let details = refused(&refusal, Code::ResourceExhausted, "RATE_LIMITED");
    assert!(details.retry_info().is_some(), "when to come back");
    let viewer = guarded.client("vrd_viewer").await;
    for _ in 0..20 {
        let answer = viewer.deployments().get_deployment(get()).await;
        refused(
            &answer.expect_err("none"),
            Code::NotFound,
            "DEPLOYMENT_NOT_FOUND",
        );
    }
    // Probes count with them.
    let mut health = HealthClient::new(guarded.server.api().await.channel());
    let refusal = health.check(HealthCheckRequest::default()).await;
    refused(
        &refusal.expect_err("too often"),
        Code::ResourceExhausted,
        "RATE_LIMITED",
    );
}

async fn guarded(flags: &[&str]) -> GuardedServer {
    let entries = [
        of_token("operator", "vrd_operator", &["operator"], &["*"]),
        of_token("viewer", "vrd_viewer", &["viewer"], &["*"]),
        of_token("other viewer", "vrd_other_viewer", &["viewer"], &["*"]),
        of_token("agent", "vrd_agent", &["agent"], &["*"]),
    ];
    GuardedServer::start_with(&entries, |command| {
        command.args(flags);
    })
    .await
}

fn watch() -> WatchDeploymentsRequest {
    WatchDeploymentsRequest {
        project: "shop".to_owned(),
        ..WatchDeploymentsRequest::default()
    }
}

/// How many tenths of the load.
fn load() -> u32 {
    count("VIRIDIAN_ATTACK_TENTHS", 1)
}

fn get() -> GetDeploymentRequest {
    GetDeploymentRequest {
        deployment: "shop/none".to_owned(),
    }
}

const CHECK: &str = "/grpc.health.v1.Health/Check";
const HEALTH_WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const GET: &str = "/viridian.deployment.v1.DeploymentService/GetDeployment";
const CREATE: &str = "/viridian.deployment.v1.DeploymentService/CreateDeployment";
const WATCH: &str = "/viridian.deployment.v1.RouteService/WatchAssignments";
