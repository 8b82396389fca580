//! PostgreSQL is stopped at once and started again, under load.

use std::{error::Error as _, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tonic::Code;
use viridian_proto::v1::{CreateDeploymentRequest, UpdateDeploymentRequest};

use super::{operator::may_be_repeated, scene::Scene, servers::Servers};
use crate::harness::{Api, Cluster, PATIENCE, count, creation, manual, update, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_though_postgresql_is_restarted() {
    let mut cluster = Cluster::start().await;
    let url = cluster.url();
    let servers = Servers::start(&url, &[None, None]).await;
    let mut scene = Scene::begin(&url, &servers.doors(), DEPLOYMENTS).await;
    let mut probes = Vec::new();
    for (number, server) in servers.all().enumerate() {
        probes.push(Probe::begin(server.api().await, number).await);
    }

    let restarts = count("VIRIDIAN_FLEET_RESTARTS", 3);
    let mut longest = Duration::ZERO;
    for _ in 0..restarts {
        scene.goes_on(20).await;
        cluster.stop_at_once().await;
        for probe in &mut probes {
            probe.is_refused().await;
        }
        cluster.start_again().await;
        let back = Instant::now();
        let mut served = JoinSet::new();
        for mut probe in std::mem::take(&mut probes) {
            served.spawn(async move {
                probe.is_served().await;
                (probe, back.elapsed())
            });
        }
        for (probe, took) in within("all servers", served.join_all()).await {
            assert!(took < RECOVERY, "a server is back after {took:?}");
            longest = longest.max(took);
            probes.push(probe);
        }
        scene.holds().await;
    }
    let summary = scene.end(servers.all()).await;
    summary.tell(&format!(
        "{restarts} restarts of PostgreSQL, servers back after {longest:?} at most"
    ));
    assert!(summary.rollouts > 0, "nothing was rolled out");
    // That the database is away is nobody's fault here.
    for server in servers.all() {
        let log = server.log();
        let is_bad = log.contains("panicked") || log.contains("\"ERROR\"");
        assert!(!is_bad, "{log}");
    }
    drop(servers);
}

/// Someone who changes a deployment of his own, at one server.
struct Probe {
    api: Api,
    reference: String,
    generation: i64,
}

impl Probe {
    async fn begin(api: Api, number: usize) -> Self {
        let request = CreateDeploymentRequest {
            project: "probes".to_owned(),
            name: format!("manual-{number}"),
            ..creation(0, manual())
        };
        let created = api.create(request).await.expect("it is created");
        Self {
            api,
            reference: created.id,
            generation: created.generation,
        }
    }

    /// Asserts that a call is refused in time, and said to be worth a repeat.
    async fn is_refused(&mut self) {
        let asked = Instant::now();
        let refusal = self.api.update(self.change()).await;
        let refusal = refusal.expect_err("there is no database");
        assert!(refusal.source().is_none(), "the server is there");
        assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
        assert!(may_be_repeated(&refusal), "{refusal:?}");
        let took = asked.elapsed();
        assert!(took < REFUSAL, "it is refused after {took:?}");
    }

    /// Asks until it is served.
    async fn is_served(&mut self) {
        let begun = Instant::now();
        loop {
            match self.api.update(self.change()).await {
                Ok(changed) => {
                    assert_eq!(changed.generation, self.generation + 1);
                    self.generation = changed.generation;
                    return;
                }
                Err(error) => assert!(may_be_repeated(&error), "{error:?}"),
            }
            assert!(begun.elapsed() < PATIENCE, "it is not served any more");
            sleep(PAUSE).await;
        }
    }

    fn change(&self) -> UpdateDeploymentRequest {
        let next = (self.generation + 1).to_string();
        UpdateDeploymentRequest {
            labels: [("generation".to_owned(), next)].into(),
            expected_generation: Some(self.generation),
            ..update(&self.reference)
        }
    }
}

const DEPLOYMENTS: usize = 40;

/// What a server may take to serve again, once the database does.
const RECOVERY: Duration = Duration::from_secs(5);

/// What it may take to refuse a call without one.
const REFUSAL: Duration = Duration::from_secs(6);
const PAUSE: Duration = Duration::from_millis(20);
