//! What the limits refuse, and that nobody else suffers from it.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};
use tonic::{Code, Request, Status, Streaming, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use viridian_proto::v1::{
    GetDeploymentRequest, ReportRouteStatusesRequest, RouteStatusReport, WatchAssignmentsRequest,
    WatchAssignmentsResponse, deployment_service_client::DeploymentServiceClient,
    route_service_client::RouteServiceClient,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, METRICS, REFERENCE, RowLock, Server, TestDatabase, TestEnv, creation,
        eventually, finish, manual, pause, refused, viridian, web::call, within,
    },
};

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let server = Server::start_with(Engine::Sqlite, &["--max-message-size", "64KiB"]).await;
    let api = server.api().await;
    let plain = api.routes();
    let zipped = api
        .routes()
        .send_compressed(tonic::codec::CompressionEncoding::Gzip);
    for (mut client, how) in [(plain, "as it is"), (zipped, "compressed")] {
        let refusal = client.report_route_statuses(report(70_000)).await;
        let refusal = refusal.expect_err(how);
        refused(&refusal, Code::InvalidArgument, "MESSAGE_TOO_LARGE");
    }
    let fits = api.routes().report_route_statuses(report(60_000)).await;
    let refusal = fits.expect_err("it is read, and there is no such route");
    refused(&refusal, Code::InvalidArgument, "INVALID_FIELD");
}

/// By HTTP, which has not seen a call yet: 431.
#[tokio::test]
async fn a_header_that_is_too_large_is_refused() {
    let server = Server::start_with(Engine::Sqlite, &["--max-header-size", "4KiB"]).await;
    let api = server.api().await;
    let mut large = get();
    let filler = "x".repeat(8_000).parse().expect("a value");
    large.metadata_mut().insert("x-filler", filler);
    let refusal = api.deployments().get_deployment(large).await;
    let refusal = refusal.expect_err("it is too large");
    assert_eq!(refusal.code(), Code::Unknown, "{refusal:?}");
    assert!(refusal.message().contains("431"), "{refusal:?}");
    let small = api.find(REFERENCE).await.expect_err("there is none");
    refused(&small, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
}

/// A call that waits for a held row takes a place. The next one is not let in,
/// but a health check is, and so is a stream.
#[tokio::test]
async fn too_many_calls_at_once_are_refused_at_once() {
    let flags = [&METRICS[..], &["--max-requests", "1"]].concat();
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let api = server.api().await;
    api.create(creation(0, manual()))
        .await
        .expect("a deployment");
    let hold = RowLock::all_deployments(server.database()).await;
    let waiting = tokio::spawn({
        let api = api.clone();
        async move { api.pause(pause(REFERENCE)).await }
    });
    eventually("the call to wait", async || {
        let under_way = server.metrics().await.value("viridian_rpc_in_flight");
        (under_way == 1.0).then_some(())
    })
    .await;
    let refusal = api.find(REFERENCE).await.expect_err("one is under way");
    let details = refused(&refusal, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
    assert!(details.retry_info().is_some(), "when to come back");
    let mut health = HealthClient::new(api.channel());
    let answer = health.check(HealthCheckRequest::default()).await;
    answer.expect("health checks do not count");
    watch(&api).await.expect("streams do not count");

    hold.release().await;
    let waited = within("the call that waited", waiting).await;
    waited.expect("no panic").expect("nobody holds it");
    eventually("room again", async || api.find(REFERENCE).await.ok()).await;
}

#[rstest]
#[case::of_one_caller("--max-streams-per-caller")]
#[case::of_all("--max-streams")]
#[tokio::test]
async fn too_many_streams_are_refused(#[case] flag: &str) {
    let server = Server::start_with(Engine::Sqlite, &[flag, "2"]).await;
    // On connections of their own: it is the caller that counts.
    let (api, other) = (server.api().await, server.api().await);
    let first = watch(&api).await.expect("the first stream");
    let _second = watch(&other).await.expect("the second stream");
    let refusal = watch(&other).await.expect_err("the third stream");
    let details = refused(&refusal, Code::ResourceExhausted, "TOO_MANY_STREAMS");
    assert!(details.retry_info().is_some(), "when to come back");
    let call = api.find(REFERENCE).await.expect_err("there is none");
    refused(&call, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    drop(first);
    eventually("room again", async || watch(&api).await.ok()).await;
}

/// HTTP/2 has the caller wait: the second call of a connection goes out when the
/// first one is over.
#[tokio::test]
async fn a_connection_carries_so_many_calls_at_once() {
    let server = Server::start_with(Engine::Sqlite, &["--max-calls-per-connection", "1"]).await;
    let (api, other) = (server.api().await, server.api().await);
    let stream = watch(&api).await.expect("the first call");
    let mut second = get();
    second.set_timeout(Duration::from_millis(300));
    let late = api.deployments().get_deployment(second).await;
    let late = late.expect_err("it has not gone out");
    assert_ne!(late.code(), Code::NotFound, "{late:?}");
    other.find(REFERENCE).await.expect_err("there is none");
    drop(stream);
    eventually("its turn", async || {
        let answer = api.find(REFERENCE).await.expect_err("there is none");
        (answer.code() == Code::NotFound).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_that_calls_too_often_is_told_when_it_may_again() {
    let flags = ["--max-rate", "1", "--max-burst", "3"];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let api = server.api().await;
    for _ in 0..3 {
        let answer = api.find(REFERENCE).await.expect_err("there is none");
        refused(&answer, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    }
    let refusal = api.find(REFERENCE).await.expect_err("the fourth at once");
    let details = refused(&refusal, Code::ResourceExhausted, "RATE_LIMITED");
    let wait = details.retry_info().and_then(|info| info.retry_delay);
    let wait = wait.expect("when to come back");
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    let mut health = HealthClient::new(api.channel());
    for _ in 0..10 {
        let answer = health.check(HealthCheckRequest::default()).await;
        answer.expect("health checks do not count");
    }
    // From then on as often as is allowed, on any connection.
    let other = server.api().await;
    eventually("its turn", async || {
        let answer = other.find(REFERENCE).await.expect_err("there is none");
        (answer.code() == Code::NotFound).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_has_so_many_connections() {
    let flags = ["--max-connections-per-address", "2"];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let (first, second) = (server.api().await, server.api().await);
    let mut third = TcpStream::connect(server.address()).await.expect("TCP");
    let end = within("the end of the third", third.read_u8()).await;
    end.expect_err("it is closed without a word");
    for api in [&first, &second] {
        api.find(REFERENCE).await.expect_err("there is none");
    }
    drop(first);
    eventually("room again", async || {
        let channel = Channel::from_shared(server.url()).expect("a URL");
        let channel = channel.connect().await.ok()?;
        let mut client = DeploymentServiceClient::new(channel);
        let answer = client.get_deployment(get()).await.expect_err("none");
        (answer.code() == Code::NotFound).then_some(())
    })
    .await;
}

/// It has said what an HTTP/2 client says first, and says nothing more, not even
/// that it is there.
#[tokio::test]
async fn a_caller_that_does_not_answer_is_let_go() {
    let flags = ["--keepalive-interval", "1s", "--keepalive-timeout", "1s"];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let answering = server.api().await;
    let mut stream = watch(&answering).await.expect("a stream");
    let mut silent = TcpStream::connect(server.address()).await.expect("TCP");
    let settings = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    silent.write_all(settings).await.expect("it is taken");
    let began = Instant::now();
    let mut said = Vec::new();
    // It may be that it is cut off with what it sent unread.
    let _ = within("its end", silent.read_to_end(&mut said)).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(1_900), "after {took:?}");
    let end = tokio::time::timeout(Duration::ZERO, stream.message()).await;
    end.expect_err("whoever answers stays");
}

/// The server's own limit, for callers that set none.
#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up() {
    let flags = ["--request-timeout", "1s"];
    let server = Server::start_with(Engine::Postgres, &flags).await;
    let api = server.api().await;
    api.create(creation(0, manual()))
        .await
        .expect("a deployment");
    let hold = RowLock::all_deployments(server.database()).await;
    let mut client = api.deployments();
    let late = client.pause_deployment(pause(REFERENCE));
    let late = within("the refusal", late).await.expect_err("it waited");
    refused(&late, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    let mut assignments = watch(&api).await.expect("a stream");
    hold.release().await;
    let end = tokio::time::timeout(Duration::from_millis(1_500), assignments.message()).await;
    end.expect_err("a stream may be quiet for longer than that");
}

/// The caller's own: it is told, and what it asked for is given up.
#[apply(both_engines)]
#[tokio::test]
async fn a_callers_deadline_is_kept(#[case] engine: Engine) {
    let flags = ["--grpc-web"];
    let env = TestEnv::on(Server::start_with(engine, &flags).await).await;
    let before = env.serving(1, manual()).await;
    let hold = RowLock::all_deployments(env.server.database()).await;
    // This client does not give up by itself.
    let timeout = [("grpc-timeout", "300m")];
    let asked = Instant::now();
    let reply = call(&env.server, PAUSE, &pause(REFERENCE), &timeout).await;
    let late = Status::from_header_map(reply.headers()).expect("a refusal");
    refused(&late, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    assert!(asked.elapsed() >= Duration::from_millis(300));
    hold.release().await;
    let after = env.get().await;
    assert_eq!((after.paused, after.generation), (false, before.generation));
}

/// A stream ends at its caller's deadline, with a reason.
#[tokio::test]
async fn a_stream_ends_at_its_callers_deadline() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let mut request = Request::new(WatchAssignmentsRequest::default());
    let timeout = "300m".parse().expect("a value");
    request.metadata_mut().insert("grpc-timeout", timeout);
    let reply = api.routes().watch_assignments(request).await;
    let mut stream = reply.expect("a stream").into_inner();
    let end = within("its end", stream.message()).await;
    let end = end.expect_err("its time is over");
    refused(&end, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn whatever_is_not_there_is_refused_as_all_is() {
    let server = Server::start(Engine::Sqlite).await;
    let mut grpc = tonic::client::Grpc::new(server.api().await.channel());
    grpc.ready().await.expect("a channel");
    let path = "/viridian.deployment.v1.DeploymentService/Nope".parse();
    let codec = tonic_prost::ProstCodec::<(), ()>::new();
    let call = grpc.unary(Request::new(()), path.expect("a path"), codec);
    let refusal = call.await.expect_err("there is no such method");
    refused(&refusal, Code::Unimplemented, "METHOD_NOT_FOUND");
}

#[rstest]
#[case::message("--max-message-size", "1KiB", "65536 to 67108864")]
#[case::header("--max-header-size", "1KiB", "4096 to 1048576")]
#[case::requests("--max-requests", "0", "1 to 1000000")]
#[case::streams("--max-streams", "0", "1 to 1000000")]
#[case::burst("--max-burst", "0", "1 to 1000000")]
#[case::timeout("--request-timeout", "0s", "1s to 1h")]
#[case::keepalive("--keepalive-interval", "3h", "1s to 2h")]
#[tokio::test]
async fn a_limit_that_cannot_work_is_a_configuration_error(
    #[case] flag: &str,
    #[case] value: &str,
    #[case] bounds: &str,
) {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let url = database.url();
    let run = finish(viridian(&["serve", flag, value, "--database", url])).await;
    assert_eq!(run.code, Some(100), "{run:?}");
    let expected = format!("error: {flag}: must be {bounds}\n");
    assert_eq!(run.stderr, expected);
}

fn get() -> Request<GetDeploymentRequest> {
    Request::new(GetDeploymentRequest {
        deployment: REFERENCE.to_owned(),
    })
}

/// A report whose message has at least so many bytes, and is not valid.
fn report(bytes: usize) -> ReportRouteStatusesRequest {
    ReportRouteStatusesRequest {
        reports: vec![RouteStatusReport {
            failure: "x".repeat(bytes),
            ..RouteStatusReport::default()
        }],
    }
}

async fn watch(api: &Api) -> Result<Streaming<WatchAssignmentsResponse>, Status> {
    let mut client = RouteServiceClient::new(api.channel());
    let reply = client.watch_assignments(WatchAssignmentsRequest::default());
    let reply = within("a stream", reply).await?;
    Ok(reply.into_inner())
}

const PAUSE: &str = "DeploymentService/PauseDeployment";
