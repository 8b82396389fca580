//! A gRPC server whose every stream of deployments is scripted.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codegen::{Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
    transport::Server,
};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};
use viridian_client::ServerTarget;
use viridian_proto::v1::{
    DeploymentEvent, WatchDeploymentsRequest, WatchDeploymentsResponse,
    deployment_service_server::SERVICE_NAME, watch_deployments_response::Payload,
};

/// One stream: its events by their resume tokens, and its end.
pub(crate) struct ScriptedStream {
    pub(crate) tokens: Vec<&'static str>,
    pub(crate) end: Status,
}

/// Streams the script, a stream for each call, and records the calls.
pub(crate) struct ScriptedServer {
    address: SocketAddr,
    shared: Arc<Mutex<Script>>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct Script {
    streams: VecDeque<ScriptedStream>,
    requested_tokens: Vec<String>,
}

impl ScriptedServer {
    pub(crate) async fn start(streams: impl IntoIterator<Item = ScriptedStream>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Mutex::new(Script {
            streams: streams.into_iter().collect(),
            ..Script::default()
        }));
        let service = ScriptedService(Arc::clone(&shared));
        let server = Server::builder().add_service(service);
        let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
        Self {
            address,
            shared,
            serving: tokio::spawn(async { serving.await.expect("it serves") }),
        }
    }

    pub(crate) fn target(&self) -> ServerTarget {
        ServerTarget::new(&self.address.to_string()).expect("a URL")
    }

    /// The resume token of each call so far.
    pub(crate) fn requested_tokens(&self) -> Vec<String> {
        self.shared.lock().expect("a lock").requested_tokens.clone()
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A refusal as the server sends it.
pub(crate) fn refusal(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "viridian", []);
    Status::with_error_details(code, reason.to_lowercase(), details)
}

#[derive(Clone)]
struct ScriptedService(Arc<Mutex<Script>>);

impl NamedService for ScriptedService {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for ScriptedService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::default());
            Ok(grpc.server_streaming(service, request).await)
        })
    }
}

impl ServerStreamingService<WatchDeploymentsRequest> for ScriptedService {
    type Response = WatchDeploymentsResponse;
    type ResponseStream =
        tokio_stream::Iter<std::vec::IntoIter<Result<WatchDeploymentsResponse, Status>>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<WatchDeploymentsRequest>) -> Self::Future {
        let mut script = self.0.lock().expect("a lock");
        let token = request.into_inner().resume_token;
        script.requested_tokens.push(token);
        let stream = script.streams.pop_front();
        Box::pin(async move {
            let stream = stream.ok_or_else(|| Status::not_found("the script is over"))?;
            let events = stream.tokens.into_iter().map(|token| Ok(event(token)));
            let messages: Vec<_> = events.chain([Err(stream.end)]).collect();
            Ok(Response::new(tokio_stream::iter(messages)))
        })
    }
}

fn event(token: &str) -> WatchDeploymentsResponse {
    WatchDeploymentsResponse {
        payload: Some(Payload::Event(DeploymentEvent {
            resume_token: token.to_owned(),
            ..DeploymentEvent::default()
        })),
    }
}
