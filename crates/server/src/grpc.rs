//! The gRPC services, and their settings.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpListener;
use tonic::{
    codec::CompressionEncoding::{Gzip, Zstd},
    server::NamedService as _,
    service::Routes as GrpcRoutes,
};
use tonic_health::pb::health_server::{Health, HealthServer};
use viridian_proto::{
    FILE_DESCRIPTOR_SET,
    v1::{
        deployment_service_server::DeploymentServiceServer,
        route_service_server::RouteServiceServer, system_service_server::SystemServiceServer,
        traffic_service_server::TrafficServiceServer,
    },
};

use crate::{
    config::StartError,
    rpc_limits::RpcLimits,
    server_info::ServerInfo,
    services::{
        deployment::DeploymentApi, route::RouteApi, system::SystemApi, traffic::TrafficApi,
    },
    state::ServerState,
};

/// Listens, and gives the address that the system chose if any would do.
pub(crate) async fn listen(on: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind(on).await;
    let listener =
        bound.map_err(|error| StartError::Config(format!("cannot listen on {on}: {error}")))?;
    let address = listener.local_addr();
    let address = address.map_err(|error| StartError::Config(error.to_string()))?;
    Ok((listener, address))
}

/// A service with the limit on the size of messages, and with compression for callers
/// that ask for it.
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

/// The four services, health and reflection. Reflection speaks both versions, and has
/// the types of error details.
pub(crate) fn services(
    shared: ServerState,
    info: Arc<ServerInfo>,
    health: HealthServer<impl Health>,
    limits: &RpcLimits,
) -> Result<GrpcRoutes, StartError> {
    let deployments = DeploymentServiceServer::new(DeploymentApi(shared.clone()));
    let routes = RouteServiceServer::new(RouteApi(shared.clone()));
    let traffic = TrafficServiceServer::new(TrafficApi(shared.clone()));
    let system = SystemServiceServer::new(SystemApi {
        state: shared,
        info,
    });
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
        .add_service(tuned!(system, limits))
        .add_service(tuned!(health, limits))
        // Older tools ask for v1alpha only.
        .add_service(tuned!(reflection().build_v1().map_err(broken)?, limits))
        .add_service(tuned!(
            reflection().build_v1alpha().map_err(broken)?,
            limits
        ));
    Ok(services.routes())
}

/// The services whose health is reported by name: those that need the database.
pub(crate) const SERVICES: [&str; 3] = [
    DeploymentServiceServer::<DeploymentApi>::NAME,
    RouteServiceServer::<RouteApi>::NAME,
    TrafficServiceServer::<TrafficApi>::NAME,
];
