//! The load of the demonstration: HTTP requests to the replicas in the traffic table.

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
use viridian_client::{AuthChannel, ReconnectPolicy, TrafficWatcher, WatchUpdate};
use viridian_proto::v1::WatchTrafficRequest;

use super::round_robin::WeightedRoundRobin;

/// The newest traffic table, shared by the task that follows it and by the workers.
pub(super) type SharedRoundRobin = Arc<Mutex<WeightedRoundRobin>>;

/// The results of the requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RequestTally {
    /// Answered requests by the label of the replica.
    pub(super) answered: BTreeMap<String, u64>,
    /// Requests without an answer, or with a status other than 200.
    pub(super) failed: u64,
    /// The errors of the first failed requests.
    pub(super) first_errors: Vec<String>,
}

impl RequestTally {
    /// All requests, answered or failed.
    pub(super) fn total(&self) -> u64 {
        self.answered.values().sum::<u64>() + self.failed
    }

    /// Requests that a version answered.
    pub(super) fn answered_by(&self, label: &str) -> u64 {
        self.answered.get(label).copied().unwrap_or_default()
    }

    fn record(&mut self, outcome: Result<String, String>) {
        match outcome {
            Ok(label) => *self.answered.entry(label).or_default() += 1,
            Err(error) => {
                self.failed += 1;
                // During an outage every request fails: a few
                // errors explain it as well as all of them.
                if self.first_errors.len() < MAX_ERRORS {
                    self.first_errors.push(error);
                }
            }
        }
    }
}

/// Follows the traffic table of a deployment, without end. If the stream breaks, the
/// newest table stays in use until the next stream, as in a proxy.
pub(super) async fn follow_traffic(
    channel: AuthChannel,
    deployment: &'static str,
    round_robin: SharedRoundRobin,
) {
    let request = WatchTrafficRequest {
        deployments: vec![deployment.to_owned()],
        all: false,
        ..WatchTrafficRequest::default()
    };
    let mut watch = TrafficWatcher::tables(channel, request, ReconnectPolicy::FOREVER);
    loop {
        match watch.next().await {
            Ok(WatchUpdate::Message(tables)) => {
                for table in tables {
                    lock(&round_robin).update(table);
                }
            }
            update => tracing::debug!(?update, "no new traffic table"),
        }
    }
}

/// Sends requests until it is finished or dropped.
pub(super) struct LoadGenerator {
    workers: JoinSet<()>,
    stop: CancellationToken,
    tally: Arc<Mutex<RequestTally>>,
}

impl LoadGenerator {
    /// Starts to send [`REQUESTS_PER_SECOND`].
    pub(super) fn start(round_robin: &SharedRoundRobin) -> Result<Self, reqwest::Error> {
        let load = Self {
            workers: JoinSet::new(),
            stop: CancellationToken::new(),
            tally: Arc::default(),
        };
        Ok(load.with_workers(&client()?, round_robin))
    }

    /// The results so far.
    pub(super) fn tally(&self) -> RequestTally {
        lock(&self.tally).clone()
    }

    /// Waits for the running requests, and returns all results.
    pub(super) async fn finish(mut self) -> RequestTally {
        // Workers look at the token between two requests: none is cut off, and counted as failed.
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
        self.tally()
    }

    fn with_workers(mut self, client: &reqwest::Client, round_robin: &SharedRoundRobin) -> Self {
        // Staggered starts spread the requests evenly over a second.
        let spacing = Duration::from_secs(1) / REQUESTS_PER_SECOND;
        for worker in 0..WORKERS {
            self.workers.spawn(run_worker(
                Instant::now() + spacing * worker,
                spacing * WORKERS,
                client.clone(),
                Arc::clone(round_robin),
                Arc::clone(&self.tally),
                self.stop.clone(),
            ));
        }
        self
    }
}

/// A client that hides no fault of a replica: a new connection for each request, no
/// proxy, no retry.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(REQUEST_TIMEOUT)
        .build()
}

async fn run_worker(
    first: Instant,
    period: Duration,
    client: reqwest::Client,
    round_robin: SharedRoundRobin,
    tally: Arc<Mutex<RequestTally>>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval_at(first, period);
    // After a stall there is no burst of the missed requests.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = stop.cancelled() => return,
        }
        // The lock is released at the end of this line: during the
        // request it would stop all other workers.
        let address = lock(&round_robin).next();
        let outcome = send_request(&client, address).await;
        lock(&tally).record(outcome);
    }
}

/// The label that the replica answered with, or the error.
async fn send_request(client: &reqwest::Client, address: Option<String>) -> Result<String, String> {
    let address = address.ok_or("the traffic table is empty")?;
    let describe = |what: &dyn std::fmt::Display| format!("{address}: {what}");
    let reply = client.get(format!("http://{address}/")).send().await;
    let reply = reply.map_err(|error| describe(&innermost(&error)))?;
    if reply.status() != reqwest::StatusCode::OK {
        return Err(describe(&reply.status()));
    }
    reply
        .text()
        .await
        .map_err(|error| describe(&innermost(&error)))
}

/// The innermost cause, which is the most specific: "Connection refused".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn StdError = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Locks a mutex, also after a panic: no critical section here can leave bad data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests per second, over all workers.
pub(super) const REQUESTS_PER_SECOND: u32 = 100;

const WORKERS: u32 = 8;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ERRORS: usize = 5;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use axum::{Router, http::StatusCode, routing};
    use tokio::net::TcpListener;

    use super::{RequestTally, client, send_request};

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
        assert_eq!(send_request(&client, Some(good)).await, Ok("v1".to_owned()));

        let bad = server(StatusCode::BAD_GATEWAY).await.to_string();
        let error = format!("{bad}: 502 Bad Gateway");
        assert_eq!(send_request(&client, Some(bad)).await, Err(error));
    }

    #[tokio::test]
    async fn a_connection_refused_is_a_failure() {
        let client = client().expect("a client");
        let outcome = send_request(&client, Some("127.0.0.1:1".to_owned())).await;
        assert!(outcome.is_err(), "{outcome:?}");
        assert!(send_request(&client, None).await.is_err());
    }

    #[test]
    fn every_request_counts_once() {
        let mut tally = RequestTally::default();
        for outcome in [Ok("v1"), Ok("v2"), Err("gone"), Ok("v1")] {
            tally.record(outcome.map(str::to_owned).map_err(str::to_owned));
        }
        assert_eq!((tally.total(), tally.failed), (4, 1));
        assert_eq!((tally.answered_by("v1"), tally.answered_by("v3")), (2, 0));
        assert_eq!(tally.first_errors, ["gone"]);
    }
}
