//! A running server.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::{
    codec::CompressionEncoding::{Gzip, Zstd},
    server::NamedService as _,
    service::Routes as GrpcRoutes,
    transport::{self, server::TcpIncoming},
};
use tonic_health::pb::health_server::{Health, HealthServer};
use tower::{Layer, layer::layer_fn};
use viridian_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        deployment_service_server::DeploymentServiceServer,
        route_service_server::RouteServiceServer, traffic_service_server::TrafficServiceServer,
    },
};
use viridian_store::Database;

use crate::{
    config::{Config, StartError},
    connections::{self, Connection},
    coordinator, health,
    incoming::secured,
    layers::{self, Guard, Layered},
    metrics::{self, Gauges},
    pruner,
    rpc_limits::RpcLimits,
    security::Security,
    services::{deployment::Deployments, route::Routes, traffic::Traffic},
    silence::{self, Heard},
    state::Shared,
    watches::{self, Watches},
};

/// A running server: the services, the coordinator and the pruner on one database. When it
/// is dropped it is stopped at once; [`Server::shutdown`] is the gentle way.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), transport::Error>>,
    coordinating: JoinHandle<()>,
    pruning: JoinHandle<()>,
    noting: JoinHandle<()>,
    looking: JoinHandle<()>,
    telling: Option<JoinHandle<()>>,
    #[expect(dead_code, reason = "what follows files that may change ends with it")]
    following: Vec<AbortOnDropHandle<()>>,
    watching: JoinHandle<()>,
}

impl Server {
    /// Opens the database, brings its schema up to date, and listens. Needs a
    /// multi-thread runtime.
    ///
    /// # Errors
    ///
    /// A [`StartError`] that is one clear sentence.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        let security = Security::load(&config)?;
        let database = Database::open_within(&config.database, config.limits).await?;
        let (listener, address) = listen(config.listen).await?;
        let stop = CancellationToken::new();
        let watches = Arc::new(Watches::new(database.clone(), config.watch));
        let telling = match config.metrics_listen {
            Some(listen) => {
                let gauges = Gauges::new(database.clone(), Arc::clone(&watches));
                Some(tell_metrics(listen, gauges).await?)
            }
            None => None,
        };
        let heard = Arc::new(Heard::default());
        let shared = Shared::new(
            database.clone(),
            Arc::clone(&watches),
            Arc::clone(&heard),
            stop.clone(),
        );
        let (reporter, health) = tonic_health::server::health_reporter();
        let routes = services(shared, health, &config.rpc_limits)?;
        for service in SERVICES {
            let serving = tonic_health::ServingStatus::Serving;
            reporter.set_service_status(service, serving).await;
        }
        tracing::info!(%address, "serving");
        security.say_who_may_call(&config, address);
        let serving = builder(&config, security.guard)
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                secured(incoming(listener, &config.rpc_limits), security.tls),
                stop.clone().cancelled_owned(),
            );
        Ok(Self {
            address,
            serving: tokio::spawn(serving),
            coordinating: tokio::spawn(coordinator::run(
                database.clone(),
                config.coordinator,
                stop.clone(),
            )),
            watching: tokio::spawn(watches::run(watches, database.clone(), stop.clone())),
            noting: tokio::spawn(silence::run(
                database.clone(),
                heard,
                config.health_silence,
                stop.clone(),
            )),
            looking: tokio::spawn(health::run(
                database.clone(),
                reporter,
                SERVICES,
                stop.clone(),
            )),
            pruning: tokio::spawn(pruner::run(database, config.retention, stop.clone())),
            telling,
            following: security.following,
            stop,
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when it ended by itself, which it does only when it fails.
    pub async fn stopped(&mut self) {
        tokio::select! {
            _ = &mut self.serving => {}
            _ = &mut self.coordinating => {}
        }
    }

    /// Stops accepting, finishes what runs, and ends streams with UNAVAILABLE.
    /// What is not over in 8 s is cut off.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        let over = async {
            // Each has logged what went wrong.
            let _ = (&mut self.serving).await;
            let _ = (&mut self.coordinating).await;
            let _ = (&mut self.pruning).await;
            let _ = (&mut self.noting).await;
            let _ = (&mut self.watching).await;
        };
        if timeout(GRACE, over).await.is_err() {
            tracing::warn!("some calls did not end in time and were cut off");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        self.serving.abort();
        self.coordinating.abort();
        self.pruning.abort();
        self.noting.abort();
        self.looking.abort();
        if let Some(telling) = &self.telling {
            telling.abort();
        }
        self.watching.abort();
    }
}

async fn listen(on: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(on).await;
    let listener =
        bound.map_err(|error| StartError::Config(format!("cannot listen on {on}: {error}")))?;
    let address = listener.local_addr();
    let address = address.map_err(|error| StartError::Config(error.to_string()))?;
    Ok((listener, address))
}

/// Measures, and tells of it until the end.
async fn tell_metrics(on: SocketAddr, gauges: Gauges) -> Result<JoinHandle<()>, StartError> {
    let handle = metrics::install().map_err(|error| StartError::Config(error.to_string()))?;
    let (listener, address) = listen(on).await?;
    tracing::info!(%address, "serving metrics");
    Ok(tokio::spawn(metrics::serve(listener, handle, gauges)))
}

/// HTTP as the limits have it, and what every call passes.
fn builder(
    config: &Config,
    guard: Guard,
) -> transport::Server<impl Layer<GrpcRoutes, Service = Layered> + Clone + use<>> {
    let limits = config.rpc_limits.clone();
    let web = config.grpc_web.clone();
    transport::Server::builder()
        .accept_http1(web.is_some())
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .http2_max_header_list_size(limits.header_size)
        .max_concurrent_streams(limits.calls_per_connection)
        .layer(layer_fn(move |routes| {
            layers::wrap(routes, &limits, web.as_ref(), guard.clone())
        }))
}

fn incoming(
    listener: TcpListener,
    limits: &RpcLimits,
) -> impl Stream<Item = io::Result<Connection>> + use<> {
    let incoming = TcpIncoming::from(listener)
        // Without it a small reply waits for the caller's delayed ACK.
        .with_nodelay(Some(true))
        .with_keepalive(Some(limits.keepalive_interval))
        .with_keepalive_interval(Some(limits.keepalive_timeout));
    connections::admit(incoming, limits.connections_per_address)
}

/// A service that takes messages of the size that the limits have, and
/// compressed ones, and compresses for those who ask for it.
macro_rules! tuned {
    ($service:expr, $limits:expr) => {
        $service
            .max_decoding_message_size(usize::try_from($limits.message_size).unwrap_or(usize::MAX))
            .accept_compressed(Gzip)
            .accept_compressed(Zstd)
            .send_compressed(Gzip)
            .send_compressed(Zstd)
    };
}

/// The three services, with health and reflection beside them. Reflection
/// speaks both versions, and knows the types of the error details.
fn services(
    shared: Shared,
    health: HealthServer<impl Health>,
    limits: &RpcLimits,
) -> Result<GrpcRoutes, StartError> {
    let deployments = DeploymentServiceServer::new(Deployments(shared.clone()));
    let routes = RouteServiceServer::new(Routes(shared.clone()));
    let traffic = TrafficServiceServer::new(Traffic(shared));
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let broken = |error: tonic_reflection::server::Error| StartError::Config(error.to_string());
    let mut services = GrpcRoutes::builder();
    services
        .add_service(tuned!(deployments, limits))
        .add_service(tuned!(routes, limits))
        .add_service(tuned!(traffic, limits))
        .add_service(tuned!(health, limits))
        .add_service(tuned!(reflection().build_v1().map_err(broken)?, limits))
        .add_service(tuned!(
            reflection().build_v1alpha().map_err(broken)?,
            limits
        ));
    Ok(services.routes())
}

/// Of whose health is told by name.
const SERVICES: [&str; 3] = [
    DeploymentServiceServer::<Deployments>::NAME,
    RouteServiceServer::<Routes>::NAME,
    TrafficServiceServer::<Traffic>::NAME,
];
const GRACE: Duration = Duration::from_secs(8);
