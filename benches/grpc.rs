//! Promotions a second over gRPC, compared with the machine's floor. Client, server and
//! database are on this machine: `scripts/bench-store grpc`.

mod callers;
mod cpu;
mod floor;
mod promotions;
mod stage;

use mimalloc::MiMalloc;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;
use viridian_proto::v1::{
    PromoteDeploymentRequest, deployment_service_client::DeploymentServiceClient,
};
use viridian_server::{Config, Server};
use viridian_strategy::DeploymentId;

use self::{
    promotions::{at_the_gate, promotions},
    stage::Stage,
};

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[tokio::main]
async fn main() {
    // Only the named engine.
    let only = std::env::args().nth(1).filter(|it| !it.starts_with("--"));
    let wanted = |engine| only.as_deref().is_none_or(|only| only == engine);
    if wanted("postgres") {
        promote(Stage::on_postgres().await, "PostgreSQL, floor: pgbench").await;
    }
    if wanted("sqlite") {
        promote(Stage::on_sqlite(), "SQLite FULL, floor: a lone connection").await;
    }
}

async fn promote(mut stage: Stage, floor: &str) {
    // Only one server can have a file.
    drop(at_the_gate(&mut stage).await);
    let server = Server::start(Config::new(stage.url.clone())).await;
    let server = server.expect("it starts");
    let channel = channel(&server).await;
    let title = format!("over gRPC, {floor}");
    promotions(&stage, &title, move |id| promote_one(channel.clone(), id)).await;
    server.shutdown().await;
}

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.local_addr()));
    let endpoint = endpoint.expect("a URL").tcp_nodelay(true);
    endpoint.connect().await.expect("it answers")
}

async fn promote_one(channel: Channel, deployment: DeploymentId) {
    let request = PromoteDeploymentRequest {
        deployment: deployment.0.to_string(),
        request_id: Uuid::now_v7().to_string(),
        reason: "a bench".into(),
        ..PromoteDeploymentRequest::default()
    };
    let mut client = DeploymentServiceClient::new(channel);
    let promoted = client.promote_deployment(request).await;
    promoted.expect("it is promoted");
}
