//! Real requests to real replicas, by a proxy that counts which version answers.

use std::{collections::HashMap, sync::Arc};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::{sync::watch, task::JoinHandle};
use viridian_proto::v1::{
    CreateDeploymentRequest, CreateRevisionRequest, DeploymentLifecycle, DeploymentPolicy,
    DeploymentSubStep, TrafficTable,
};

use super::{advance, canary};
use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, REFERENCE, Server, agent, creation, end_agent, promotion, replica, seconds,
        within,
    },
};

/// How a proxy chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// A revision by its weight, and then one of its endpoints.
    Weights,
    /// An endpoint by its ratio: as proxies do that know nothing of weights.
    Ratios,
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_gets_its_share_of_real_requests(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let agent = agent(&server, state.path());
    // Longer than a proxy may take to follow on a busy machine: none of its requests may fail.
    let policy = DeploymentPolicy {
        drain_grace: seconds(30.0),
        ..canary(&[50, 250, 500])
    };
    let request = CreateDeploymentRequest {
        initial_revision: Some(replica("old")),
        ..creation(4, policy)
    };
    api.create(request).await.expect("it can be created");
    let is_ready = |it: &viridian_proto::v1::Deployment| {
        it.lifecycle() == DeploymentLifecycle::Ready
            && it.blue.as_ref().is_some_and(|blue| blue.ready == 4)
    };
    api.until(REFERENCE, "READY", is_ready).await;
    let proxy = Proxy::follow(&api).await;
    // All the time, through each move.
    let steady = tokio::spawn(proxy.clone().until_stopped());

    let request = CreateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        spec: Some(replica("new")),
        activate: true,
        ..CreateRevisionRequest::default()
    };
    let created = api.deployments().create_revision(request).await;
    created.expect("it can be activated");
    for (step, share) in [(1, 0.05), (2, 0.25), (3, 0.5)] {
        let held = |it: &viridian_proto::v1::Deployment| {
            it.step == step && it.sub_step() == DeploymentSubStep::Shifting
        };
        let held = api.until(REFERENCE, "the step", held).await;
        proxy.has_epoch(held.epoch).await;
        for choice in [Choice::Weights, Choice::Ratios] {
            let answers = proxy.send(requests() / 2, choice).await;
            let new = f64::from(answers["new"]) / f64::from(answers.values().sum::<u32>());
            assert!(
                (new - share).abs() < 0.02,
                "step {step}, {choice:?}: {answers:?}"
            );
        }
        let advanced = api.deployments().advance_deployment(advance()).await;
        advanced.expect("it can be advanced");
    }
    let at_gate =
        |it: &viridian_proto::v1::Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
    api.until(REFERENCE, "the gate", at_gate).await;
    let promoted = api.promote(promotion(REFERENCE)).await;
    let promoted = promoted.expect("it can be promoted").deployment;
    proxy.has_epoch(promoted.expect("a deployment").epoch).await;
    let answers = proxy.send(100, Choice::Weights).await;
    assert_eq!(answers, HashMap::from([("new".to_owned(), 100)]));

    proxy.stop();
    let answers = within("the last answers", steady)
        .await
        .expect("no request failed");
    assert!(answers["old"] > 0 && answers["new"] > 0, "{answers:?}");
    end_agent(agent).await;
}

/// Requests in each step: 2,000, or as many as `VIRIDIAN_CANARY_REQUESTS` says.
fn requests() -> u32 {
    let said = std::env::var("VIRIDIAN_CANARY_REQUESTS").ok();
    said.map_or(2_000, |count| count.parse().expect("a number"))
}

/// A proxy that follows the traffic table.
#[derive(Clone)]
struct Proxy {
    client: reqwest::Client,
    table: watch::Receiver<TrafficTable>,
    stopped: Arc<watch::Sender<bool>>,
    _follower: Arc<FollowerTask>,
}

struct FollowerTask(JoinHandle<()>);

impl Drop for FollowerTask {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Proxy {
    async fn follow(api: &Api) -> Self {
        let mut tables = api.watch(REFERENCE).await;
        let first = tables.next().await.expect("the present table");
        let (sender, table) = watch::channel(first);
        let follower = tokio::spawn(async move {
            while let Ok(table) = tables.next_whenever().await {
                sender.send_replace(table);
            }
        });
        Self {
            client: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            table,
            stopped: Arc::new(watch::Sender::new(false)),
            _follower: Arc::new(FollowerTask(follower)),
        }
    }

    async fn has_epoch(&self, epoch: i64) {
        let mut table = self.table.clone();
        let newer = table.wait_for(|table| table.epoch >= epoch);
        within("the table", newer).await.expect("it follows");
    }

    /// Sends requests, and counts the answers by version.
    async fn send(&self, count: u32, choice: Choice) -> HashMap<String, u32> {
        let mut answers = HashMap::new();
        let mut credits = HashMap::new();
        for _ in 0..count {
            let address = next(&self.table.borrow(), choice, &mut credits);
            *answers.entry(self.request(&address).await).or_default() += 1;
        }
        answers
    }

    /// Sends one request after the other until it is stopped.
    async fn until_stopped(self) -> HashMap<String, u32> {
        let mut answers = HashMap::new();
        while !*self.stopped.borrow() {
            for (version, count) in self.send(10, Choice::Ratios).await {
                *answers.entry(version).or_default() += count;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        answers
    }

    fn stop(&self) {
        self.stopped.send_replace(true);
    }

    async fn request(&self, address: &str) -> String {
        let reply = self.client.get(format!("http://{address}/")).send().await;
        let reply = reply.unwrap_or_else(|error| panic!("{address}: {error:?}"));
        assert!(reply.status().is_success(), "{address}: {}", reply.status());
        reply.text().await.expect("a text")
    }
}

/// The address of the next request: smooth weighted round robin.
fn next(table: &TrafficTable, choice: Choice, credits: &mut HashMap<String, f64>) -> String {
    let shares: Vec<(String, f64)> = match choice {
        Choice::Ratios => {
            let endpoints = table.endpoints.iter();
            endpoints.map(|it| (it.address.clone(), it.ratio)).collect()
        }
        Choice::Weights if table.weights.is_empty() => {
            let endpoints = table.endpoints.iter();
            endpoints.map(|it| (it.address.clone(), 1.0)).collect()
        }
        Choice::Weights => {
            let weights = table.weights.iter();
            let weights = weights.map(|it| (it.revision_id.clone(), f64::from(it.weight_permille)));
            let revision = pick(&weights.collect::<Vec<_>>(), credits);
            let endpoints = table.endpoints.iter();
            let endpoints = endpoints.filter(|it| it.revision_id == revision);
            endpoints.map(|it| (it.address.clone(), 1.0)).collect()
        }
    };
    pick(&shares, credits)
}

fn pick(shares: &[(String, f64)], credits: &mut HashMap<String, f64>) -> String {
    let total: f64 = shares.iter().map(|(_, share)| share).sum();
    for (name, share) in shares {
        *credits.entry(name.clone()).or_default() += share;
    }
    let names = shares.iter().map(|(name, _)| name);
    let best = names.max_by(|one, other| credits[*one].total_cmp(&credits[*other]));
    let best = best.expect("somewhere to go").clone();
    credits.entry(best.clone()).and_modify(|it| *it -= total);
    best
}
