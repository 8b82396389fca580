//! Many events, writers that overlap, and watches that break again and again.

use std::{
    collections::BTreeMap,
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::task::{JoinHandle, JoinSet};
use tonic::Status;
use viridian_proto::v1::{DeploymentEvent, DeploymentEventKind as Kind, WatchDeploymentsRequest};

use super::{deployment, idle, labelled};
use crate::harness::{
    Api, Engine, Server, WAIT_TIMEOUT, eventually, of_deployments, of_project, within,
};

/// The servers that can be reached now.
type ServerUrls = Arc<Mutex<Vec<String>>>;

/// The sequences that a watch told of each deployment, in their order.
type SequencesByDeployment = BTreeMap<String, Vec<i64>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_or_repeated_across_two_servers() {
    let server = Server::start(Engine::Postgres).await;
    let beside = server.beside().await;
    let servers = Arc::new(Mutex::new(vec![server.url(), beside.url()]));
    let watches = ManyWatches::begin(&server.api().await, &servers).await;
    watches.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_or_repeated_across_restarts() {
    let mut server = Server::start(Engine::Sqlite).await;
    let servers = Arc::new(Mutex::new(vec![server.url()]));
    let watches = ManyWatches::begin(&server.api().await, &servers).await;
    for part in 1..4 {
        watches.until_written(watches.events * part / 4).await;
        server = server.restart().await;
        *servers.lock().unwrap_or_else(PoisonError::into_inner) = vec![server.url()];
    }
    watches.end().await;
}

/// Eight writers and two watches.
struct ManyWatches {
    ids: Vec<String>,
    events: usize,
    written: Arc<AtomicUsize>,
    servers: ServerUrls,
    writers: JoinSet<()>,
    watches: Vec<JoinHandle<(SequencesByDeployment, usize)>>,
}

impl ManyWatches {
    async fn begin(api: &Api, servers: &ServerUrls) -> Self {
        let events = env::var("VIRIDIAN_EVENTS").map_or(1_000, |n| n.parse().expect("a number"));
        let mut ids = Vec::new();
        for n in 0..WRITERS {
            ids.push(idle(api, &format!("d-{n}")).await.id);
        }
        let references: Vec<&str> = ids.iter().map(String::as_str).collect();
        let requests = [of_project("shop"), of_deployments(&references)];
        let mut watches = Vec::new();
        for (request, seed) in requests.into_iter().zip(1..) {
            let mut watch = TrackedWatch::begin(api, request).await;
            let servers = Arc::clone(servers);
            watches.push(tokio::spawn(async move {
                let breaks = watch.go_on(servers, seed).await;
                (watch.told, breaks)
            }));
        }
        let written = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for (n, id) in ids.iter().cloned().enumerate() {
            let (servers, written) = (Arc::clone(servers), Arc::clone(&written));
            writers.spawn(write(servers, id, events / WRITERS, n as u64, written));
        }
        Self {
            ids,
            events,
            written,
            servers: Arc::clone(servers),
            writers,
            watches,
        }
    }

    /// Waits for so many events, for as long as there are more and more.
    async fn until_written(&self, events: usize) {
        let written = || self.written.load(Ordering::Relaxed);
        while written() < events {
            let before = written();
            eventually("one more event", async || {
                (written() > before).then_some(())
            })
            .await;
        }
    }

    async fn end(mut self) {
        while let Some(writer) = self.writers.join_next().await {
            writer.expect("a writer does not fail");
        }
        let api = connect(&self.servers, 0).await.expect("a server is there");
        let mut last = BTreeMap::new();
        for id in &self.ids {
            last.insert(id.clone(), api.get(id).await.sequence);
        }
        // A last event each ends the watches.
        for id in &self.ids {
            super::change(&api, id, LAST).await;
        }
        for watch in self.watches {
            let (told, breaks) = within("the end of a watch", watch).await.expect("no panic");
            assert!(breaks > 3, "it was broken {breaks} times");
            assert_eq!(told.len(), WRITERS);
            let mut count = 0;
            for (id, sequences) in told {
                let first = sequences[0];
                let all: Vec<i64> = (first..=last[&id] + 1).collect();
                assert_eq!(sequences, all, "of {id}");
                count += sequences.len();
            }
            assert!(count >= self.events, "{count} events");
        }
    }
}

/// A watch, and what it told so far.
struct TrackedWatch {
    question: WatchDeploymentsRequest,
    told: SequencesByDeployment,
    token: String,
    /// How many deployments it has the last event of.
    ended: usize,
}

impl TrackedWatch {
    /// Takes the snapshots.
    async fn begin(api: &Api, question: WatchDeploymentsRequest) -> Self {
        let mut events = api.follow(question.clone()).await.expect("a watch");
        let mut watch = Self {
            question,
            told: SequencesByDeployment::new(),
            token: String::new(),
            ended: 0,
        };
        for _ in 0..WRITERS {
            let event = events.event().await;
            assert_eq!(event.kind(), Kind::Snapshot);
            watch.take(&event);
        }
        watch
    }

    fn take(&mut self, event: &DeploymentEvent) {
        self.token.clone_from(&event.resume_token);
        let it = deployment(event);
        let sequences = self.told.entry(it.id.clone()).or_default();
        sequences.push(it.sequence);
        if it.labels.get("n") == Some(&LAST.to_string()) {
            self.ended += 1;
        }
    }

    /// Goes on, breaks off, and so forth, until it has the last event of each.
    /// Gives how often it broke.
    async fn go_on(&mut self, servers: ServerUrls, seed: u64) -> usize {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut breaks, mut last) = (0, Instant::now());
        while self.ended < WRITERS {
            let which = rng.random_range(0..2);
            let patience = rng.random_range(1..200);
            let token = self.token.clone();
            // A server that is away or stops is one way to break.
            let broken = self.follow(&servers, which, patience).await.err();
            if self.token != token {
                last = Instant::now();
            }
            assert!(
                last.elapsed() < WAIT_TIMEOUT,
                "it does not go on: {broken:?}"
            );
            breaks += 1;
        }
        breaks
    }

    async fn follow(
        &mut self,
        servers: &ServerUrls,
        which: usize,
        patience: usize,
    ) -> Result<(), Status> {
        let api = connect(servers, which).await?;
        let request = WatchDeploymentsRequest {
            resume_token: self.token.clone(),
            ..self.question.clone()
        };
        let mut events = api.follow(request).await?;
        for _ in 0..patience {
            let event = events.next().await?;
            assert_ne!(event.kind(), Kind::Snapshot);
            self.take(&event);
            if self.ended == WRITERS {
                break;
            }
        }
        Ok(())
    }
}

/// Changes a deployment so many times; a call that fails is made again.
async fn write(
    servers: ServerUrls,
    id: String,
    times: usize,
    seed: u64,
    written: Arc<AtomicUsize>,
) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut api = None;
    for n in 0..times {
        let begun = Instant::now();
        loop {
            assert!(
                begun.elapsed() < WAIT_TIMEOUT,
                "it cannot be changed any more"
            );
            if api.is_none() || rng.random_range(0..20) == 0 {
                api = connect(&servers, rng.random_range(0..2)).await.ok();
            }
            let Some(there) = &api else { continue };
            let reply = there
                .deployments()
                .update_deployment(labelled(&id, n, ""))
                .await;
            if reply.is_ok() {
                break;
            }
            api = None;
        }
        written.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reaches one of the servers, if it is there.
async fn connect(servers: &ServerUrls, which: usize) -> Result<Api, Status> {
    let url = {
        let servers = servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers[which % servers.len()].clone()
    };
    Api::try_connect(&url).await
}

const WRITERS: usize = 8;

/// What the last event of each deployment has as its number.
const LAST: usize = usize::MAX;
