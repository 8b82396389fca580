//! Hosts that do not reach each other: servers, their database and an agent are in network
//! namespaces, and the router between them drops packets. Needs root.

use std::{future::Future, sync::Arc, time::Duration};

use rstest::rstest;
use tokio::{runtime::Builder, task::JoinSet};
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use crate::{
    failover::{at_gate, expect_one_promotion, promote_from_everywhere},
    harness::{
        Api, CallerLoad, Cluster, EventFollower, GROUP, Host, Loss, REFERENCE, RandomAgent, Server,
        ServerUrls, SharedEvents, TestNetwork, eventually, finish, is_passing, lock_events,
        promotion, viridian,
    },
    health::until_ready_is,
};

/// Which way nothing goes.
#[derive(Clone, Copy, Debug)]
enum Cut {
    BothWays,
    Forth,
    Back,
}

impl Cut {
    fn between(self, network: &TestNetwork, one: usize, other: usize) {
        match self {
            Self::BothWays => network.cut(one, other),
            Self::Forth => network.drop_one_way(one, other, Loss::All),
            Self::Back => network.drop_one_way(other, one, Loss::All),
        }
    }
}

#[rstest]
#[case::both_ways(Cut::BothWays)]
#[case::to_the_database(Cut::Forth)]
#[case::from_the_database(Cut::Back)]
fn a_server_that_is_cut_off_from_its_database_says_so_and_goes_on(#[case] cut: Cut) {
    on_network(async |hosts: Arc<TestNetwork>| {
        let env = PartitionEnv::start(hosts).await;
        let [one, other] = env.loads();
        env.work(&[&one, &other]).await;
        cut.between(&env.hosts, ONE, DATABASE);
        until_ready_is(&env.apis[0], NotServing).await;
        let refusal = env.apis[0].find(REFERENCE).await;
        let refusal = refusal.expect_err("it does not know");
        assert!(is_passing(&refusal), "{refusal:?}");
        // The other one still has it.
        until_ready_is(&env.apis[1], Serving).await;
        other.until_one_more().await;
        let promotions = promote_from_everywhere([&env.apis[0], &env.apis[1]]);
        other.until_one_more().await;
        env.hosts.heal();
        until_ready_is(&env.apis[0], Serving).await;
        one.until_one_more().await;
        expect_one_promotion(promotions).await;
        env.end([one, other]).await;
    });
}

/// They say nothing to each other but by the database.
#[test]
fn servers_that_do_not_reach_each_other_go_on() {
    on_network(async |hosts: Arc<TestNetwork>| {
        let env = PartitionEnv::start(hosts).await;
        let loads = env.loads();
        env.work(&[&loads[0], &loads[1]]).await;
        env.hosts.cut(ONE, OTHER);
        for load in &loads {
            load.until_one_more().await;
        }
        let promotions = promote_from_everywhere([&env.apis[0], &env.apis[1]]);
        expect_one_promotion(promotions).await;
        for load in &loads {
            load.until_one_more().await;
        }
        env.hosts.heal();
        env.end(loads).await;
    });
}

/// More is lost one way than the other.
#[test]
fn what_is_acknowledged_over_a_bad_network_is_kept() {
    on_network(async |hosts: Arc<TestNetwork>| {
        let env = PartitionEnv::start(hosts).await;
        let loads = env.loads();
        env.work(&[&loads[0], &loads[1]]).await;
        env.hosts.drop_one_way(ONE, DATABASE, Loss::Percent(20));
        env.hosts.drop_one_way(DATABASE, ONE, Loss::Percent(5));
        env.hosts.drop_one_way(DATABASE, OTHER, Loss::Percent(20));
        let promotions = promote_from_everywhere([&env.apis[0], &env.apis[1]]);
        for load in &loads {
            load.until_one_more().await;
        }
        env.hosts.heal();
        expect_one_promotion(promotions).await;
        for load in &loads {
            load.until_one_more().await;
        }
        env.end(loads).await;
    });
}

#[rstest]
#[case::both_ways(Cut::BothWays)]
#[case::to_the_server(Cut::Forth)]
#[case::from_the_server(Cut::Back)]
fn a_rollout_waits_for_an_agent_that_is_cut_off(#[case] cut: Cut) {
    on_network(async |hosts: Arc<TestNetwork>| {
        let cluster = Cluster::start_on(hosts.host(DATABASE)).await;
        let server = start_server(hosts.host(ONE), &cluster).await;
        let api = server.api().await;
        let urls = ServerUrls::default();
        urls.set(vec![server.url()]);
        let remote = hosts.host(AGENT).runtime();
        let agent = remote.spawn(RandomAgent::new(GROUP, urls, 1).work());
        at_gate(&api).await;
        api.promote(promotion(REFERENCE)).await.expect("promoted");
        let before = api.table(REFERENCE).await;

        cut.between(&hosts, AGENT, ONE);
        api.create_revision(REFERENCE, true)
            .await
            .expect("deployed");
        let load = CallerLoad::start(&api, 2);
        load.until_one_more().await;
        // Longer than the agent's patience: it has given the connection up, and tries again.
        tokio::time::sleep(Duration::from_secs(7)).await;
        let waiting = api.get(REFERENCE).await;
        assert_eq!(waiting.sub_step(), DeploymentSubStep::Provisioning);
        assert_eq!(api.table(REFERENCE).await, before, "what serves goes on");

        hosts.heal();
        let at_gate = |it: &Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
        api.until(REFERENCE, "the gate", at_gate).await;
        api.promote(promotion(REFERENCE)).await.expect("promoted");
        let ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
        api.until(REFERENCE, "READY", ready).await;
        load.stop().await;
        assert!(!agent.is_finished(), "the agent goes on");
        remote.shutdown_background();
        check(&cluster).await;
    });
}

/// Two servers on a database, an agent, and someone who watches the first one.
struct PartitionEnv {
    hosts: Arc<TestNetwork>,
    apis: [Api; 2],
    events: SharedEvents,
    others: JoinSet<()>,
    servers: [Server; 2],
    cluster: Cluster,
}

impl PartitionEnv {
    async fn start(hosts: Arc<TestNetwork>) -> Self {
        let cluster = Cluster::start_on(hosts.host(DATABASE)).await;
        let servers = [
            start_server(hosts.host(ONE), &cluster).await,
            start_server(hosts.host(OTHER), &cluster).await,
        ];
        let apis = [servers[0].api().await, servers[1].api().await];
        let [both, first] = [ServerUrls::default(), ServerUrls::default()];
        both.set(servers.iter().map(Server::url).collect());
        first.set(vec![servers[0].url()]);
        let mut others = JoinSet::new();
        others.spawn(RandomAgent::new(GROUP, both, 1).work());
        let follower = EventFollower::new("shop", first, 2);
        let events = follower.seen();
        others.spawn(follower.work());
        at_gate(&apis[0]).await;
        Self {
            hosts,
            apis,
            events,
            others,
            servers,
            cluster,
        }
    }

    fn loads(&self) -> [CallerLoad; 2] {
        [&self.apis[0], &self.apis[1]].map(|it| CallerLoad::start(it, 2))
    }

    async fn work(&self, loads: &[&CallerLoad]) {
        for load in loads {
            load.until_one_more().await;
        }
    }

    /// What was acknowledged is there, the watch has all of it, and the invariants hold.
    async fn end(mut self, loads: [CallerLoad; 2]) {
        let mut acknowledged = Vec::new();
        for load in loads {
            acknowledged.extend(load.stop().await);
        }
        for id in &acknowledged {
            self.apis[0].get(id).await;
            self.apis[1].get(id).await;
        }
        eventually("all events", async || {
            let seen = lock_events(&self.events);
            let all = acknowledged.iter().all(|id| seen.last.contains_key(id));
            all.then_some(())
        })
        .await;
        let ended = self.others.try_join_next();
        assert!(ended.is_none(), "{ended:?}");
        for server in &self.servers {
            let log = server.log();
            assert!(!log.contains("a unit of work failed"), "no INTERNAL");
        }
        check(&self.cluster).await;
    }
}

/// It gives a database up that says nothing sooner than by default.
pub(crate) async fn start_server(host: &Host, cluster: &Cluster) -> Server {
    let options = "tcp_user_timeout=2&keepalives_idle=1&keepalives_interval=1\
                   &keepalives_retries=2&connect_timeout=2";
    let url = format!("{}?{options}", cluster.url());
    let listen = format!("{}:0", host.address());
    let namespace = format!("--net={}", host.namespace());
    Server::at(&url, |command| {
        let program = command.as_std().get_program().to_owned();
        let mut outer = tokio::process::Command::new("nsenter");
        outer.arg(namespace).arg(program);
        outer.args(["serve", "--insecure", "--log-format", "json"]);
        outer.args(["--listen", &listen, "--database", &url]);
        outer.args(["--database-acquire-timeout", "1s"]);
        outer.args(["--database-lock-timeout", "1s"]);
        outer.args(["--database-statement-timeout", "2s"]);
        outer.stdin(std::process::Stdio::null());
        outer.stdout(std::process::Stdio::null());
        outer.stderr(std::process::Stdio::piped());
        *command = outer;
    })
    .await
}

async fn check(cluster: &Cluster) {
    let checked = finish(viridian(&["check", "--database", &cluster.url()])).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// Runs a test on a host of a network of its own, with nothing but what the others are told.
pub(crate) fn on_network<F: Future<Output = ()>>(test: impl FnOnce(Arc<TestNetwork>) -> F) {
    let network = Arc::new(TestNetwork::start(HOSTS));
    let here = network.host(CLIENT).enter();
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .expect("a runtime")
        .block_on(test(Arc::clone(&network)));
    drop(here);
}

pub(crate) const DATABASE: usize = 0;
pub(crate) const ONE: usize = 1;
pub(crate) const OTHER: usize = 2;
const AGENT: usize = 3;
const CLIENT: usize = 4;
const HOSTS: usize = 5;
