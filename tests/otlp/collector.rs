use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Takes spans, as a collector does. Gone when it is dropped.
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Taken,
    serving: JoinHandle<()>,
}

/// Spans, with what they say of who sent them.
#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<(Sender, Span)>>>);

type Sender = Vec<KeyValue>;

impl Collector {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("its address");
        let taken = Taken::default();
        let serving = Server::builder()
            .add_service(TraceServiceServer::new(taken.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        Self {
            address,
            taken,
            serving: tokio::spawn(async move { serving.await.expect("it serves") }),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All spans that it has been sent.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().map(|(_, span)| span.clone()).collect()
    }

    /// What they say of who sent them, which is the same for all.
    pub(crate) fn sender(&self) -> Sender {
        let taken = self.taken.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (sender, _) = taken.first().expect("it was sent something");
        assert!(taken.iter().all(|(other, _)| other == sender));
        sender.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for of_one in request.into_inner().resource_spans {
            let sender = of_one.resource.unwrap_or_default().attributes;
            let spans = of_one.scope_spans.into_iter().flat_map(|it| it.spans);
            taken.extend(spans.map(|span| (sender.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// What attributes say under a key, as text.
pub(crate) fn said(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|it| it.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}
