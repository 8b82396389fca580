//! Traces as a collector gets them, from a server that was built to export them:
//! `scripts/with-postgres cargo test --workspace --features viridian/otlp --test otlp`.
//!
//! By themselves, since the other tests are of the program without the feature.

#[path = "otlp/collector.rs"]
mod collector;
#[expect(dead_code, reason = "it is there for the other tests")]
#[expect(unused_imports, reason = "it is there for the other tests")]
mod harness;

use std::net::{Ipv4Addr, TcpListener};

use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use rstest::rstest;
use tonic::{Code, Request};
use viridian_proto::v1::GetDeploymentRequest;

use self::{
    collector::{Collector, said},
    harness::{
        Engine, REFERENCE, Server, SwitchableProxy, TestEnv, closed_port, creation, eventually,
        finish, manual, promotion, refused, viridian,
    },
};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_call_is_a_trace_of_all_that_it_did(#[case] engine: Engine) {
    let collector = Collector::start().await;
    // Lines are filtered, spans are not.
    let variables = [
        ("VIRIDIAN_LOG", "viridian_server::server=info"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=test",
        ),
    ];
    let server = exporting(engine, &collector.url(), &variables).await;
    let mut env = TestEnv::on(server).await;
    let deployment = env.at_gate(1, manual()).await;
    let mut promote = from_caller(promotion(REFERENCE), "01");
    let state = "vendor=knows".parse().expect("a value");
    promote.metadata_mut().insert("tracestate", state);
    let promoted = env.api.deployments().promote_deployment(promote).await;
    promoted.expect("it is promoted");
    let unknown = from_caller(get("shop/nope"), "01");
    let refusal = env.api.deployments().get_deployment(unknown).await;
    refused(
        &refusal.expect_err("there is none"),
        Code::NotFound,
        "DEPLOYMENT_NOT_FOUND",
    );
    end(&mut env.server).await;

    let sender = collector.sender();
    for (key, value) in [
        ("service.name", "viridian"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("deployment.environment.name", "test"),
    ] {
        assert_eq!(said(&sender, key).as_deref(), Some(value), "{sender:?}");
    }

    let spans = collector.spans();
    let call = one(&spans, |it| it.name == PROMOTE);
    assert_eq!(call.kind(), SpanKind::Server);
    assert_eq!(hex(&call.trace_id), TRACE);
    assert_eq!(hex(&call.parent_span_id), CALLER);
    assert_eq!(call.trace_state, "vendor=knows");
    assert_eq!(of(call, "rpc.grpc.status_code"), "0");
    assert_eq!(of(call, "request_id"), "order-66");

    let unit = one(&spans, |it| it.name == "promote");
    assert_eq!(hex(&unit.trace_id), TRACE);
    assert_eq!(unit.parent_span_id, call.span_id);
    assert_eq!(of(unit, "deployment"), deployment.id);
    assert!(unit.events.iter().any(|it| it.name == "moved"), "{unit:#?}");

    // What calls share is nobody's child.
    let shared = one(&spans, |it| {
        it.name == "shared" && it.links.iter().any(|link| link.span_id == unit.span_id)
    });
    assert!(shared.parent_span_id.is_empty());
    assert_eq!(hex(&shared.links[0].trace_id), TRACE);
    one(&spans, |it| {
        it.name == "transaction" && it.parent_span_id == shared.span_id
    });

    let cycle = spans.iter().find(|it| it.name == "cycle").expect("one");
    assert_eq!(of(cycle, "deployment"), deployment.id);
    let transaction = one(&spans, |it| it.span_id == cycle.parent_span_id);
    assert_eq!(transaction.name, "transaction");
    let pass = one(&spans, |it| it.span_id == transaction.parent_span_id);
    assert_eq!(pass.name, "pass");
    assert!(pass.parent_span_id.is_empty());

    // Not the server's fault.
    let call = one(&spans, |it| {
        it.name == GET && of(it, "rpc.grpc.status_code") == "5"
    });
    assert_eq!(hex(&call.trace_id), TRACE);
    let status = call.status.clone().unwrap_or_default();
    assert_eq!(status.code(), StatusCode::Unset);
}

#[tokio::test]
async fn whoever_does_not_keep_a_trace_is_heard() {
    let collector = Collector::start().await;
    let name = [("OTEL_SERVICE_NAME", "west")];
    let mut server = exporting(Engine::Sqlite, &collector.url(), &name).await;
    let api = server.api().await;
    let created = api.create(creation(0, manual())).await;
    created.expect("a deployment");
    let unkept = from_caller(get(REFERENCE), "00");
    let found = api.deployments().get_deployment(unkept).await;
    found.expect("it is there");
    end(&mut server).await;
    let spans = collector.spans();
    one(&spans, |it| it.name.ends_with("/CreateDeployment"));
    assert!(
        spans.iter().all(|it| hex(&it.trace_id) != TRACE),
        "{spans:#?}"
    );
    assert_eq!(
        said(&collector.sender(), "service.name").as_deref(),
        Some("west")
    );
}

/// One at which nobody listens, and one that takes all and says nothing.
#[rstest]
#[case::away(false)]
#[case::silent(true)]
#[tokio::test]
async fn a_collector_that_is_away_delays_nobody(#[case] silent: bool) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let listener = silent.then_some(listener);
    // One span would be a batch, and two are all that may wait.
    let variables = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "60000"),
    ];
    let url = format!("http://{address}");
    let server = exporting(Engine::Sqlite, &url, &variables).await;
    let mut env = TestEnv::on(server).await;
    env.at_gate(2, manual()).await;
    env.promote().await;
    if !silent {
        let lines = || {
            env.server
                .log()
                .matches("traces cannot be exported")
                .count()
        };
        eventually("a line", async || (lines() > 0).then_some(())).await;
        // More are lost by then, and that is not worth another one.
        for _ in 0..50 {
            env.get().await;
        }
        assert_eq!(lines(), 1, "{}", env.server.log());
    }
    // The exporter would wait for longer than this test does.
    end(&mut env.server).await;
    let log = env.server.log();
    assert!(!log.contains(r#""level":"ERROR""#), "{log}");
    drop(listener);
}

#[tokio::test]
async fn a_collector_that_is_back_gets_spans_again() {
    let collector = Collector::start().await;
    let way = SwitchableProxy::to(closed_port()).await;
    let mut server = exporting(Engine::Sqlite, &way.url(), &[]).await;
    let api = server.api().await;
    let says = async |words: &str| {
        eventually(words.to_owned(), async || {
            api.find("shop/nope").await.expect_err("there is none");
            server.log().contains(words).then_some(())
        })
        .await;
    };
    says("traces cannot be exported").await;
    assert!(collector.spans().is_empty());
    way.switch_to(collector.address());
    says("traces are exported again").await;
    assert!(collector.spans().iter().any(|it| it.name == GET));
    end(&mut server).await;
}

#[tokio::test]
async fn nothing_is_exported_where_nobody_asked_for_it() {
    let collector = Collector::start().await;
    for (variable, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
    ] {
        let mut server = exporting(Engine::Sqlite, &collector.url(), &[(variable, value)]).await;
        let api = server.api().await;
        api.find("shop/nope").await.expect_err("there is none");
        end(&mut server).await;
        assert!(!server.log().contains("traces"), "{}", server.log());
    }
    assert!(collector.spans().is_empty());
}

#[tokio::test]
async fn what_cannot_be_is_refused_at_the_start() {
    for (variable, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a b"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_TRACES_SAMPLER", "some"),
        ("OTEL_TRACES_SAMPLER_ARG", "many"),
    ] {
        let mut command = viridian(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .args(["--database", "sqlite:/nowhere/at/all.db"])
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
            .env(variable, value);
        let run = finish(command).await;
        assert_eq!(run.code, Some(100), "{variable}: {run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stderr.contains(value), "{run:?}");
    }
}

/// A server that exports soon.
async fn exporting(engine: Engine, to: &str, variables: &[(&str, &str)]) -> Server {
    Server::start_by(engine, |command| {
        command
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", to)
            .env("OTEL_BSP_SCHEDULE_DELAY", "50")
            .envs(variables.iter().copied());
    })
    .await
}

/// Ends it, so that it has exported all that it will.
async fn end(server: &mut Server) {
    server.signal(Signal::SIGTERM);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
}

/// A call that goes on with a trace.
fn from_caller<T>(message: T, flags: &str) -> Request<T> {
    let mut request = Request::new(message);
    let parent = format!("00-{TRACE}-{CALLER}-{flags}");
    for (name, value) in [("traceparent", &*parent), ("x-request-id", "order-66")] {
        let value = value.parse().expect("a value");
        request.metadata_mut().insert(name, value);
    }
    request
}

fn get(reference: &str) -> GetDeploymentRequest {
    GetDeploymentRequest {
        deployment: reference.to_owned(),
    }
}

/// The only span that is so.
fn one(spans: &[Span], is_so: impl Fn(&Span) -> bool) -> &Span {
    let found: Vec<_> = spans.iter().filter(|it| is_so(it)).collect();
    let [span] = found[..] else {
        panic!("{} spans of these:\n{spans:#?}", found.len());
    };
    span
}

fn of(span: &Span, key: &str) -> String {
    said(&span.attributes, key).unwrap_or_default()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|it| format!("{it:02x}")).collect()
}

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const PROMOTE: &str = "viridian.deployment.v1.DeploymentService/PromoteDeployment";
const GET: &str = "viridian.deployment.v1.DeploymentService/GetDeployment";
