//! All layers together, before a service that has a bug, over a real channel.

use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{Router, routing::post};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status,
    service::Routes,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_types::StatusExt as _;
use tower::layer::layer_fn;
use tracing_subscriber::fmt::MakeWriter;
use viridian_proto::v1::{
    GetDeploymentRequest, deployment_service_client::DeploymentServiceClient,
};

use super::{Authenticator, GrpcStack};
use crate::{metrics, rpc_limits::RpcLimits};

/// On one thread, so that all that is logged can be caught.
#[tokio::test]
async fn a_bug_in_a_service_ends_its_call_and_nothing_else() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_writer(log.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let measured = metrics::install().expect("nothing else measures here");
    let before = panics(&measured.render());

    let (url, _serving) = serve(Router::new().route(GET, post(bug))).await;
    let channel = Channel::from_shared(url).expect("a URL").connect().await;
    let mut client = DeploymentServiceClient::new(channel.expect("it serves"));
    let mut calls = 0;
    // A place in the code that another test comes by for the first time, just when
    // this one begins to log, is taken for one that logs nothing. So look again.
    while calls < 2 || log.lines(PANICKED).is_empty() {
        assert!(calls < 100, "it is not logged");
        tracing::callsite::rebuild_interest_cache();
        calls += 1;
        let id = format!("call-{calls}");
        let mut request = Request::new(GetDeploymentRequest::default());
        let value = id.parse().expect("a value");
        request.metadata_mut().insert("x-request-id", value);
        let status = client.get_deployment(request).await;
        assert_internal(&status.expect_err("a bug"), &id);
    }

    // Panics of other tests of this process may be among them.
    assert!(panics(&measured.render()) >= before + calls);
    let line = log.lines(PANICKED).pop().expect("a line");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["what"], "a secret");
    assert_eq!(line["method"], GET.trim_start_matches('/'));
    assert_eq!(line["span"]["request_id"], format!("call-{calls}"));
}

fn assert_internal(status: &Status, id: &str) {
    assert_eq!(status.code(), Code::Internal, "{status:?}");
    assert!(!format!("{status:?}").contains("secret"), "{status:?}");
    let details = status.get_error_details();
    assert_eq!(
        details.error_info().expect("an ErrorInfo").reason,
        "INTERNAL"
    );
    assert_eq!(status.metadata().get("x-request-id").expect("it is"), id);
}

async fn bug() -> String {
    panic!("a secret")
}

async fn serve(router: Router) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let address = listener.local_addr().expect("an address");
    let stack = GrpcStack {
        replies: super::ReplyLimits::new(&RpcLimits::default()),
        limits: RpcLimits::default(),
        pages: None,
        authenticator: Authenticator::default(),
        stop: CancellationToken::new(),
    };
    let serving = Server::builder()
        .layer(layer_fn(move |routes| stack.clone().around(routes)))
        .add_routes(Routes::from(router))
        .serve_with_incoming(TcpIncoming::from(listener));
    let serving = tokio::spawn(async move { serving.await.expect("it serves") });
    (format!("http://{address}"), serving)
}

fn panics(page: &str) -> u32 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(metrics::RPC_PANICS));
    line.map_or(0, |count| count.trim().parse().expect("a count"))
}

/// What is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// The lines with these words.
    fn lines(&self, words: &str) -> Vec<serde_json::Value> {
        let bytes = self.0.lock().expect("no panic").clone();
        let text = String::from_utf8(bytes).expect("text");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        lines
            .filter(|line: &serde_json::Value| line["message"] == words)
            .collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const GET: &str = "/viridian.deployment.v1.DeploymentService/GetDeployment";
const PANICKED: &str = "a call panicked";
