//! The stream of requests: real HTTP, to the replicas that the traffic table
//! names.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, transport::Channel};
use viridian_proto::v1::{
    WatchTrafficRequest, traffic_service_client::TrafficServiceClient,
    watch_traffic_response::Payload,
};

use super::rotation::Rotation;

/// What is known of who serves, shared by those who follow and those who ask.
pub(super) type SharedRotation = Arc<Mutex<Rotation>>;

/// How many requests were answered by whom, and how many were not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// By the label that the replica answered with.
    pub(super) answered: BTreeMap<String, u64>,
    /// Requests that got no answer, or another one than 200.
    pub(super) failed: u64,
    /// What went wrong with the first few of those.
    pub(super) complaints: Vec<String>,
}

impl Tally {
    /// All requests, answered or not.
    pub(super) fn total(&self) -> u64 {
        self.answered.values().sum::<u64>() + self.failed
    }

    /// How many a version answered.
    pub(super) fn answered_by(&self, label: &str) -> u64 {
        self.answered.get(label).copied().unwrap_or_default()
    }

    fn record(&mut self, outcome: Result<String, String>) {
        match outcome {
            Ok(label) => *self.answered.entry(label).or_default() += 1,
            Err(complaint) => {
                self.failed += 1;
                if self.complaints.len() < COMPLAINTS {
                    self.complaints.push(complaint);
                }
            }
        }
    }
}

/// Follows the traffic tables of one deployment, and never ends. When the
/// stream breaks, the newest table holds until there is another stream, as it
/// does in a proxy.
pub(super) async fn follow_traffic(
    channel: Channel,
    deployment: &'static str,
    rotation: SharedRotation,
) {
    loop {
        let broken = follow_one_stream(channel.clone(), deployment, &rotation).await;
        tracing::debug!(?broken, "the traffic stream ended");
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn follow_one_stream(
    channel: Channel,
    deployment: &str,
    rotation: &SharedRotation,
) -> Result<(), Status> {
    let request = WatchTrafficRequest {
        deployments: vec![deployment.to_owned()],
        all: false,
    };
    let mut client = TrafficServiceClient::new(channel);
    let mut stream = client.watch_traffic(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        if let Some(Payload::Table(table)) = message.payload {
            lock(rotation).follow(table);
        }
    }
    Ok(())
}

/// A stream of requests that goes on until it is finished or dropped.
pub(super) struct Load {
    workers: JoinSet<()>,
    stop: CancellationToken,
    tally: Arc<Mutex<Tally>>,
}

impl Load {
    /// Starts to send requests, [`REQUESTS_PER_SECOND`] of them.
    pub(super) fn start(rotation: &SharedRotation) -> Result<Self, reqwest::Error> {
        let load = Self {
            workers: JoinSet::new(),
            stop: CancellationToken::new(),
            tally: Arc::default(),
        };
        Ok(load.with_workers(&client()?, rotation))
    }

    /// What came of the requests so far.
    pub(super) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }

    /// Ends after the requests that are under way, and says what came of all.
    pub(super) async fn finish(mut self) -> Tally {
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
        self.tally()
    }

    fn with_workers(mut self, client: &reqwest::Client, rotation: &SharedRotation) -> Self {
        let turn = Duration::from_secs(1) / REQUESTS_PER_SECOND;
        for worker in 0..WORKERS {
            self.workers.spawn(work(
                Instant::now() + turn * worker,
                turn * WORKERS,
                client.clone(),
                Arc::clone(rotation),
                Arc::clone(&self.tally),
                self.stop.clone(),
            ));
        }
        self
    }
}

/// Every request has a connection of its own, goes to the replica directly,
/// and has one try: nothing hides a replica that is not there.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(REQUEST_TIMEOUT)
        .build()
}

async fn work(
    first: Instant,
    period: Duration,
    client: reqwest::Client,
    rotation: SharedRotation,
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
) {
    let mut turns = tokio::time::interval_at(first, period);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = stop.cancelled() => return,
        }
        let address = lock(&rotation).next();
        let outcome = ask(&client, address).await;
        lock(&tally).record(outcome);
    }
}

/// The label of the replica that answered.
async fn ask(client: &reqwest::Client, address: Option<String>) -> Result<String, String> {
    let address = address.ok_or("no replica takes traffic")?;
    let complain = |what: &dyn std::fmt::Display| format!("{address}: {what}");
    let reply = client.get(format!("http://{address}/")).send().await;
    let reply = reply.map_err(|error| complain(&innermost(&error)))?;
    if reply.status() != reqwest::StatusCode::OK {
        return Err(complain(&reply.status()));
    }
    reply
        .text()
        .await
        .map_err(|error| complain(&innermost(&error)))
}

/// What lies at the bottom, which says most: "Connection refused".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// A lock that is never held across anything that could panic.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many requests there are in a second.
pub(super) const REQUESTS_PER_SECOND: u32 = 100;

const WORKERS: u32 = 8;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const RECONNECT: Duration = Duration::from_millis(100);
const COMPLAINTS: usize = 5;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use axum::{Router, http::StatusCode, routing};
    use tokio::net::TcpListener;

    use super::{Tally, ask, client};

    async fn server(status: StatusCode) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().route("/", routing::get(move || async move { (status, "v1") }));
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    #[tokio::test]
    async fn only_200_is_an_answer() {
        let client = client().expect("a client");
        let good = server(StatusCode::OK).await.to_string();
        assert_eq!(ask(&client, Some(good)).await, Ok("v1".to_owned()));

        let bad = server(StatusCode::BAD_GATEWAY).await.to_string();
        let complaint = format!("{bad}: 502 Bad Gateway");
        assert_eq!(ask(&client, Some(bad)).await, Err(complaint));
    }

    #[tokio::test]
    async fn nobody_there_is_a_failure() {
        let client = client().expect("a client");
        let outcome = ask(&client, Some("127.0.0.1:1".to_owned())).await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert!(ask(&client, None).await.is_err());
    }

    #[test]
    fn every_request_counts_once() {
        let mut tally = Tally::default();
        for outcome in [Ok("v1"), Ok("v2"), Err("gone"), Ok("v1")] {
            tally.record(outcome.map(str::to_owned).map_err(str::to_owned));
        }
        assert_eq!((tally.total(), tally.failed), (4, 1));
        assert_eq!((tally.answered_by("v1"), tally.answered_by("v3")), (2, 0));
        assert_eq!(tally.complaints, ["gone"]);
    }
}
