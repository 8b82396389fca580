//! PostgreSQL is stopped at once and started again, under load.

use std::{error::Error as _, time::Duration};

use futures::future::join_all;
use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use uuid::Uuid;
use viridian_proto::v1::{
    CreateDeploymentRequest, CreateRevisionRequest, Deployment, DeploymentLifecycle, Revision,
    RevisionSpec,
};

use super::{
    fault_case::FaultCase,
    kind::{DeploymentCase, SOUND},
    operator::may_be_repeated,
    servers::Servers,
};
use crate::harness::{Api, Cluster, WAIT_TIMEOUT, count, creation};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_though_postgresql_is_restarted() {
    let mut cluster = Cluster::start().await;
    let url = cluster.url();
    let servers = Servers::start(&url, &[None, None]).await;
    let mut case = FaultCase::begin(&url, &servers.server_urls(), DEPLOYMENTS).await;
    let mut probes = Vec::new();
    for (number, server) in servers.all().enumerate() {
        probes.push(RolloutProbe::begin(server.api().await, number).await);
    }

    let restarts = count("VIRIDIAN_FLEET_RESTARTS", 2);
    let mut longest = Duration::ZERO;
    for _ in 0..restarts {
        case.goes_on(20).await;
        cluster.stop_at_once().await;
        for probe in &probes {
            probe.is_refused().await;
        }
        cluster.start_again().await;
        let back = Instant::now();
        let served = probes.iter_mut().map(async |probe| {
            probe.is_served().await;
            back.elapsed()
        });
        for took in join_all(served).await {
            longest = longest.max(took);
        }
        case.holds().await;
    }
    let summary = case.end(servers.all()).await;
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

/// Rolls out a deployment of its own, without routes, through one server.
struct RolloutProbe {
    api: Api,
    id: String,
    /// The newest one that was rolled out.
    revision: i64,
    /// The next one.
    request: CreateRevisionRequest,
}

impl RolloutProbe {
    async fn begin(api: Api, number: usize) -> Self {
        let request = CreateDeploymentRequest {
            project: "probes".to_owned(),
            name: format!("{}-{number}", DeploymentCase::Automatic.word()),
            ..creation(0, DeploymentCase::Replaced.policy())
        };
        let created = api.create(request).await.expect("it is created");
        let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
        let id = api.until(&created.id, "READY", is_ready).await.id;
        Self {
            api,
            request: rollout(&id),
            id,
            revision: 1,
        }
    }

    /// Asserts that the server refuses a call, before the client gives up, as one that
    /// may be repeated.
    async fn is_refused(&self) {
        let refusal = self.deploy().await.expect_err("there is no database");
        assert!(refusal.source().is_none(), "the server is there");
        assert_eq!(refusal.code(), Code::Unavailable, "{refusal:?}");
        assert!(may_be_repeated(&refusal), "{refusal:?}");
    }

    /// Repeats the call until it is served. Without replicas the revision is the current
    /// one at once.
    async fn is_served(&mut self) {
        let begun = Instant::now();
        let revision = loop {
            match self.deploy().await {
                Ok(revision) => break revision,
                Err(error) => assert!(may_be_repeated(&error), "{error:?}"),
            }
            assert!(begun.elapsed() < WAIT_TIMEOUT, "it is not served any more");
            sleep(PAUSE).await;
        };
        assert_eq!(revision.number, self.revision + 1, "it happens once");
        self.revision = revision.number;
        self.request = rollout(&self.id);
        let is_promoted = |it: &Deployment| it.current_revision_id == revision.id;
        self.api.until(&self.id, "the promotion", is_promoted).await;
    }

    async fn deploy(&self) -> Result<Revision, Status> {
        let mut client = self.api.deployments();
        let reply = client.create_revision(self.request.clone()).await?;
        Ok(reply.into_inner().revision.expect("a revision"))
    }
}

fn rollout(id: &str) -> CreateRevisionRequest {
    CreateRevisionRequest {
        deployment: id.to_owned(),
        spec: Some(RevisionSpec {
            image: SOUND.to_owned(),
            ..RevisionSpec::default()
        }),
        activate: true,
        request_id: Uuid::now_v7().to_string(),
        ..CreateRevisionRequest::default()
    }
}

const DEPLOYMENTS: usize = 40;

const PAUSE: Duration = Duration::from_millis(20);
