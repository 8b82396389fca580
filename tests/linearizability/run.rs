//! Runs of eight clients through faults.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nix::sys::signal::Signal;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};

use super::{
    client::{ClientTerms, RandomClient},
    history::History,
};
use crate::{
    harness::{
        Cluster, CuttableProxy, GROUP, Loss, RandomAgent, Server, ServerUrls, TestNetwork,
        eventually, finish, viridian,
    },
    partitions::{DATABASE, ONE, OTHER, start_server},
};

/// Eight clients and an agent, at work.
pub(super) struct ClientRun {
    terms: ClientTerms,
    clients: JoinSet<Vec<super::client::RecordedCall>>,
    agents: JoinSet<()>,
}

impl ClientRun {
    pub(super) fn start(urls: &ServerUrls, seed: u64) -> Self {
        let mut run = Self::without_agent(urls, seed);
        run.agents
            .spawn(RandomAgent::new(GROUP, urls.clone(), seed).work());
        run
    }

    /// No route ever runs, so that nothing becomes READY.
    pub(super) fn without_agent(urls: &ServerUrls, seed: u64) -> Self {
        let terms = ClientTerms {
            urls: urls.clone(),
            names: vec!["a".to_owned(), "b".to_owned()],
            is_over: Arc::default(),
            answers: Arc::default(),
        };
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(RandomClient::new(number, terms.clone(), seed).work());
        }
        Self {
            terms,
            clients,
            agents: JoinSet::new(),
        }
    }

    /// Waits until the clients have had so many answers.
    pub(super) async fn has_answers(&self, count: usize) {
        eventually(format_args!("{count} answers"), async || {
            (self.terms.answers.load(Ordering::Relaxed) >= count).then_some(())
        })
        .await;
    }

    pub(super) async fn end(mut self) -> History {
        self.terms.is_over.store(true, Ordering::Relaxed);
        let mut recorded = Vec::new();
        while let Some(calls) = self.clients.join_next().await {
            recorded.extend(calls.expect("no client is surprised"));
        }
        // Ends with the run.
        assert!(self.agents.try_join_next().is_none(), "the agent gave up");
        History::of(recorded)
    }
}

/// Servers on one database, each behind a proxy whose connections can be cut. What is killed
/// is started again.
pub(super) struct CuttableServers {
    database: String,
    servers: Vec<(Server, CuttableProxy)>,
    urls: ServerUrls,
}

impl CuttableServers {
    pub(super) async fn start(database: &str, count: usize) -> Self {
        let mut servers = Self {
            database: database.to_owned(),
            servers: Vec::new(),
            urls: ServerUrls::default(),
        };
        for _ in 0..count {
            servers.start_one().await;
        }
        servers
    }

    pub(super) fn urls(&self) -> &ServerUrls {
        &self.urls
    }

    pub(super) fn log(&self) -> String {
        self.servers
            .iter()
            .map(|(server, _)| server.log())
            .collect()
    }

    /// Does this and that to them until the clients have had so many answers.
    async fn disturb(&mut self, rng: &mut StdRng, run: &ClientRun) {
        for fault in 0.. {
            // So that calls are under way, and some are answered between two faults.
            run.has_answers(CALLS * fault / FAULTS).await;
            sleep(Duration::from_millis(rng.random_range(0..100))).await;
            if fault == FAULTS {
                break;
            }
            let place = rng.random_range(0..self.servers.len());
            match rng.random_range(0..3) {
                0 => self.kill(place).await,
                1 => {
                    self.servers[place].1.cut();
                }
                _ => self.stop(place, rng.random_range(10..300)).await,
            }
        }
    }

    /// Has one stand still for some milliseconds.
    async fn stop(&self, place: usize, milliseconds: u64) {
        let (server, _) = &self.servers[place];
        server.signal(Signal::SIGSTOP);
        sleep(Duration::from_millis(milliseconds)).await;
        server.signal(Signal::SIGCONT);
    }

    async fn kill(&mut self, place: usize) {
        self.without(place, || {}).await;
    }

    /// Kills one, does something, and starts another.
    pub(super) async fn without(&mut self, place: usize, act: impl FnOnce()) {
        drop(self.servers.remove(place));
        self.tell();
        act();
        self.start_one().await;
    }

    async fn start_one(&mut self) {
        let server = Server::at(&self.database, |_| {}).await;
        let proxy = CuttableProxy::to(server.address()).await;
        self.servers.push((server, proxy));
        self.tell();
    }

    fn tell(&self) {
        let url = |(_, proxy): &(Server, CuttableProxy)| format!("http://{}", proxy.address());
        self.urls.set(self.servers.iter().map(url).collect());
    }
}

/// One run with kills, cut connections and servers that stand still.
pub(super) async fn run_with_kills(database: &str, servers: usize, seed: u64) -> History {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut servers = CuttableServers::start(database, servers).await;
    let run = ClientRun::start(servers.urls(), seed);
    servers.disturb(&mut rng, &run).await;
    let history = run.end().await;
    assert!(
        !servers.log().contains("a unit of work failed"),
        "no INTERNAL"
    );
    drop(servers);
    invariants_hold(database).await;
    history
}

/// One run in which the primary of the database is killed, and its standby promoted.
pub(super) async fn run_with_failover(seed: u64) -> History {
    let mut primary = Cluster::start().await;
    let standby = primary.synchronous_standby().await;
    let (password, hosts) = (
        primary.password(),
        [primary.host(), standby.host()].join(","),
    );
    let database = format!("postgres://postgres:{password}@{hosts}/postgres");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut servers = CuttableServers::start(&database, 2).await;
    let run = ClientRun::start(servers.urls(), seed);
    run.has_answers(CALLS / 3).await;
    sleep(Duration::from_millis(rng.random_range(0..100))).await;
    primary.kill().await;
    standby.promote().await;
    run.has_answers(2 * CALLS / 3).await;
    servers.kill(rng.random_range(0..2)).await;
    run.has_answers(CALLS).await;
    let history = run.end().await;
    drop(servers);
    invariants_hold(&standby.url()).await;
    history
}

/// One run in which servers lose their database one way or both ways, or some packets.
pub(super) async fn run_with_partitions(hosts: &TestNetwork, seed: u64) -> History {
    let cluster = Cluster::start_on(hosts.host(DATABASE)).await;
    let mut rng = StdRng::seed_from_u64(seed);
    let urls = ServerUrls::default();
    let servers = [
        start_server(hosts.host(ONE), &cluster).await,
        start_server(hosts.host(OTHER), &cluster).await,
    ];
    urls.set(servers.iter().map(Server::url).collect());
    let run = ClientRun::start(&urls, seed);
    for fault in 0..FAULTS {
        run.has_answers(CALLS * fault / FAULTS).await;
        let server = [ONE, OTHER][rng.random_range(0..2)];
        match rng.random_range(0..4) {
            0 => hosts.cut(server, DATABASE),
            1 => hosts.drop_one_way(server, DATABASE, Loss::All),
            2 => hosts.drop_one_way(DATABASE, server, Loss::All),
            _ => hosts.drop_one_way(server, DATABASE, Loss::Percent(30)),
        }
        // Longer than a server waits for a database that says nothing, now and then.
        sleep(Duration::from_millis(rng.random_range(500..4_000))).await;
        hosts.heal();
    }
    run.has_answers(CALLS).await;
    let history = run.end().await;
    drop(servers);
    invariants_hold(&cluster.url()).await;
    history
}

async fn invariants_hold(database: &str) {
    let checked = finish(viridian(&["check", "--database", database])).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

const CLIENTS: usize = 8;

/// How many answers clients have had by the end of a run, and how many faults happen meanwhile.
pub(super) const CALLS: usize = 300;
const FAULTS: usize = 5;
