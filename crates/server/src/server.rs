//! A running server.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes as GrpcRoutes,
    transport::{self, server::TcpIncoming},
};
use tower::layer::layer_fn;
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
    coordinator, pruner,
    refuse::Refuse,
    services::{deployment::Deployments, route::Routes, traffic::Traffic},
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
        let database = Database::open(&config.database).await?;
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|error| {
            StartError::Config(format!("cannot listen on {}: {error}", config.listen))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::Config(error.to_string()))?;
        let stop = CancellationToken::new();
        let watches = Arc::new(Watches::new(database.clone(), config.watch));
        let shared = Shared::new(database.clone(), Arc::clone(&watches), stop.clone());
        let routes = services(shared).await?;
        let serving = transport::Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .layer(layer_fn(Refuse))
            .add_routes(routes)
            .serve_with_incoming_shutdown(
                // Without it a small reply waits for the caller's delayed ACK.
                TcpIncoming::from(listener).with_nodelay(Some(true)),
                stop.clone().cancelled_owned(),
            );
        tracing::info!(%address, "serving");
        if address.ip().is_loopback() {
            tracing::info!("no credentials are configured: listening on loopback only");
        } else {
            tracing::warn!(%address, "no credentials are configured: anyone who reaches it may call");
        }
        Ok(Self {
            address,
            serving: tokio::spawn(serving),
            coordinating: tokio::spawn(coordinator::run(database.clone(), stop.clone())),
            watching: tokio::spawn(watches::run(watches, database.clone(), stop.clone())),
            pruning: tokio::spawn(pruner::run(database, config.retention, stop.clone())),
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
        self.watching.abort();
    }
}

/// The three services, with health and reflection beside them. Reflection
/// speaks both versions, and knows the types of the error details.
async fn services(shared: Shared) -> Result<GrpcRoutes, StartError> {
    let deployments = DeploymentServiceServer::new(Deployments(shared.clone()))
        .max_decoding_message_size(MAX_MESSAGE);
    let routes =
        RouteServiceServer::new(Routes(shared.clone())).max_decoding_message_size(MAX_MESSAGE);
    let traffic = TrafficServiceServer::new(Traffic(shared)).max_decoding_message_size(MAX_MESSAGE);
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_serving::<DeploymentServiceServer<Deployments>>()
        .await;
    reporter.set_serving::<RouteServiceServer<Routes>>().await;
    reporter
        .set_serving::<TrafficServiceServer<Traffic>>()
        .await;
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let broken = |error: tonic_reflection::server::Error| StartError::Config(error.to_string());
    let mut services = GrpcRoutes::builder();
    services
        .add_service(deployments)
        .add_service(routes)
        .add_service(traffic)
        .add_service(health)
        .add_service(reflection().build_v1().map_err(broken)?)
        .add_service(reflection().build_v1alpha().map_err(broken)?);
    Ok(services.routes())
}

const KEEPALIVE: Duration = Duration::from_secs(20);
/// How large a request may be. Decoded, one of the smallest items that it can
/// have takes some 50 times its room.
const MAX_MESSAGE: usize = 1024 * 1024;
const GRACE: Duration = Duration::from_secs(8);
