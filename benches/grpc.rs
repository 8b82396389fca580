//! Promotions a second over gRPC, with client, server and database on this
//! machine, beside what the machine can do: `scripts/bench-store grpc`.

mod callers;
mod cpu;
mod floor;
mod stage;

use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;
use viridian_proto::v1::{
    PromoteDeploymentRequest, deployment_service_client::DeploymentServiceClient,
};
use viridian_server::{Config, Server};
use viridian_store::Database;

use self::{
    callers::{Calls, median},
    cpu::Spent,
    stage::{Side, Stage},
};

#[tokio::main]
async fn main() {
    // One engine alone, by its name.
    let only = std::env::args().nth(1).filter(|it| !it.starts_with("--"));
    let wanted = |engine| only.as_deref().is_none_or(|only| only == engine);
    if wanted("postgres") {
        promote(Stage::on_postgres().await, "PostgreSQL, floor: pgbench").await;
    }
    if wanted("sqlite") {
        promote(Stage::on_sqlite(), "SQLite FULL, floor: a lone connection").await;
    }
}

async fn promote(mut stage: Stage, title: &str) {
    tell(&format!(
        "\nover gRPC, {title}; {DEPLOYMENTS} deployments of {ROUTES} + {ROUTES} routes, medians of \
         {ROUNDS}"
    ));
    tell(
        "callers  promote/s   floor/s  of floor  by hand/s  of it      p50      p99  CPU here, database",
    );
    let db = Database::open(&stage.url).await.expect("it opens");
    stage.create(&db, DEPLOYMENTS, ROUTES).await;
    stage.deploy(&db).await;
    stage.keep().await;
    stage.number().await;
    stage
        .execute("CREATE TABLE floor (id integer, n integer)")
        .await;
    // A file has one server.
    drop(db);
    let server = Server::start(Config::new(stage.url.clone())).await;
    let server = server.expect("it starts");
    for callers in [1, 8, 32] {
        let (mut rates, mut floors, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut by_hand, mut of_it) = (Vec::new(), Vec::new());
        let (mut p50, mut p99) = (Vec::new(), Vec::new());
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            stage.rewind().await;
            let floor = match &stage.side {
                Side::Postgres(_) => floor::pgbench(&stage.url, callers),
                Side::Sqlite(_) => floor::sqlite(),
            };
            let ids: Vec<String> = stage.ids.iter().map(|id| id.0.to_string()).collect();
            let count = if callers == 1 {
                DEPLOYMENTS / 4
            } else {
                DEPLOYMENTS
            };
            let channel = channel(&server).await;
            let before = Spent::until_now(&stage).await;
            let calls = Calls::make(callers, count, move |number| {
                promote_one(channel.clone(), ids[number].clone())
            });
            let calls = calls.await;
            let [mine, its] = Spent::until_now(&stage).await.for_each(before, count);
            here.push(mine);
            there.push(its);
            if let Side::Postgres(_) = &stage.side {
                stage.rewind().await;
                by_hand.push(floor::by_hand(&stage.url, callers, DEPLOYMENTS));
                of_it.extend(by_hand.last().map(|rate| calls.a_second / rate));
            }
            rates.push(calls.a_second);
            floors.push(floor);
            ratios.push(calls.a_second / floor);
            p50.push(calls.percentile(50).as_secs_f64());
            p99.push(calls.percentile(99).as_secs_f64());
        }
        tell(&format!(
            "{callers:7}  {:9.0} {:9.0}  {:8.3}  {:9.0} {:6.2}  {:5.2} ms {:5.2} ms  {:6.0} us {:6.0} us",
            median(rates),
            median(floors),
            median(ratios),
            median(by_hand),
            median(of_it),
            median(p50) * 1e3,
            median(p99) * 1e3,
            median(here),
            median(there),
        ));
    }
    server.shutdown().await;
}

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.local_addr()));
    let endpoint = endpoint.expect("a URL").tcp_nodelay(true);
    endpoint.connect().await.expect("it answers")
}

async fn promote_one(channel: Channel, deployment: String) {
    let request = PromoteDeploymentRequest {
        deployment,
        request_id: Uuid::now_v7().to_string(),
        reason: "a bench".into(),
        ..PromoteDeploymentRequest::default()
    };
    let mut client = DeploymentServiceClient::new(channel);
    let promoted = client.promote_deployment(request).await;
    promoted.expect("it is promoted");
}

#[expect(clippy::print_stdout, reason = "the figures")]
fn tell(what: &str) {
    println!("{what}");
}

const DEPLOYMENTS: usize = 3_000;
const ROUTES: u32 = 4;
const ROUNDS: usize = 3;
