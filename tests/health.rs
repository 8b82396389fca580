//! What a server says of its health: that it lives, whatever becomes of its
//! database, and whether it can serve, by the names of its services.

use rstest::rstest;
use tonic::Streaming;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus::{self, NotServing, Serving},
    health_client::HealthClient,
};
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

use crate::harness::{
    Api, Cluster, METRICS, Server, creation, eventually, finish, manual, viridian, within,
};

/// How a database is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Away {
    /// Nobody listens.
    Stopped,
    /// It takes all that it is sent, and answers nothing.
    Frozen,
}

#[rstest]
#[case::stopped(Away::Stopped)]
#[case::frozen(Away::Frozen)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_its_database_lives_and_is_not_ready(#[case] away: Away) {
    let mut cluster = Cluster::start().await;
    let server = Server::at(&cluster.url(), |command| {
        command.args(METRICS).args(SHORT);
    })
    .await;
    let api = server.api().await;
    let mut watches = Vec::new();
    for service in SERVICES {
        watches.push(watch(&api, service).await);
    }
    for watch in &mut watches {
        assert_eq!(next(watch).await, Serving);
    }

    match away {
        Away::Stopped => cluster.stop_at_once().await,
        Away::Frozen => cluster.freeze(),
    }
    for (watch, service) in watches.iter_mut().zip(SERVICES) {
        assert_eq!(next(watch).await, NotServing);
        assert_eq!(check(&api, service).await, NotServing);
    }
    assert_eq!(check(&api, "").await, Serving, "it lives");
    let asked = finish(viridian(&["doctor", "--server", &server.url()])).await;
    let line = "NOT_SERVING";
    assert!(asked.stdout.contains(line), "{asked:?}");
    eventually("a pass that is given up", async || {
        let failed = server.metrics().await.value(FAILED);
        (failed > 0.0).then_some(())
    })
    .await;
    server.logs("a pass over the due queue was given up").await;

    match away {
        Away::Stopped => cluster.start_again().await,
        Away::Frozen => cluster.thaw(),
    }
    for watch in &mut watches {
        assert_eq!(next(watch).await, Serving, "told once of each change");
    }
    let created = api.create(creation(0, manual())).await;
    let id = created.expect("it can be created").id;
    let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    api.until(&id, "READY", is_ready).await;
    drop(server);
}

async fn check(api: &Api, service: &str) -> ServingStatus {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let reply = HealthClient::new(api.channel()).check(request).await;
    reply.expect("its health").into_inner().status()
}

/// Waits until readiness has this status, and sees that the server lives.
pub(crate) async fn until_ready_is(api: &Api, status: ServingStatus) {
    for service in SERVICES {
        eventually(format!("{status:?}"), async || {
            (check(api, service).await == status).then_some(())
        })
        .await;
    }
    assert_eq!(check(api, "").await, Serving, "it lives");
}

async fn watch(api: &Api, service: &str) -> Streaming<HealthCheckResponse> {
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let reply = HealthClient::new(api.channel()).watch(request).await;
    reply.expect("its health").into_inner()
}

async fn next(watch: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let told = within("what is told of health", watch.message()).await;
    told.expect("it goes on").expect("it goes on").status()
}

const SERVICES: [&str; 3] = [
    "viridian.deployment.v1.DeploymentService",
    "viridian.deployment.v1.RouteService",
    "viridian.deployment.v1.TrafficService",
];

/// So that a test does not wait for long.
const SHORT: [&str; 6] = [
    "--database-statement-timeout",
    "1s",
    "--database-lock-timeout",
    "500ms",
    "--database-acquire-timeout",
    "1s",
];
const FAILED: &str = "viridian_due_queue_passes_total{outcome=\"failed\"}";
