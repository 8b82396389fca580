//! The endpoint that Prometheus scrapes. It has no credentials, so that every caller is
//! held to little: few connections, each for one request and a bounded time.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::ScrapeGauges;
use crate::{
    keyed_semaphore::{KeyedPermit, KeyedSemaphore},
    peer::network,
};

/// Answers `GET /metrics` until it is dropped.
pub(crate) async fn serve(listener: TcpListener, handle: PrometheusHandle, gauges: ScrapeGauges) {
    let (rendered, gauges) = (handle.clone(), Arc::new(gauges));
    let page = async move || {
        gauges.refresh().await;
        ([(CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE)], rendered.render())
    };
    let pages = Router::new().route("/metrics", get(page));
    tokio::select! {
        () = accept(listener, pages) => {}
        () = run_upkeep(handle) => {}
    }
}

/// Serves connections, each for its time. Those that are too many are closed at once.
async fn accept(listener: TcpListener, pages: Router) {
    let of_address = KeyedSemaphore::new(MAX_CONNECTIONS_PER_ADDRESS);
    let of_all = KeyedSemaphore::new(MAX_CONNECTIONS);
    // Dropped with this future, and the connections with it.
    let mut open = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            Some(_) = open.join_next() => continue,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // As while too many files are open. Without the pause this would be a
                    // busy loop.
                    tracing::warn!(%error, "a connection for metrics could not be accepted");
                    sleep(ACCEPT_RETRY).await;
                    continue;
                }
            },
        };
        let permits = of_address
            .try_acquire(network(peer.ip()))
            .zip(of_all.try_acquire(()));
        let Some(permits) = permits else {
            tracing::debug!(%peer, "a connection for metrics was refused: there are too many");
            continue;
        };
        open.spawn(answer(stream, pages.clone(), permits));
    }
}

/// One connection, to its end.
async fn answer(stream: TcpStream, pages: Router, _: (KeyedPermit<IpAddr>, KeyedPermit<()>)) {
    let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        // A request body is not read, so that nothing may follow it.
        .keep_alive(false);
    let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(pages));
    // Of all of it: a page that is not read must not stay in memory. How it fails is the
    // scraper's to say.
    let _ = timeout(MAX_CONNECTION_AGE, connection).await;
}

/// Aggregates the histograms at intervals. The recorder keeps each sample until a scrape or
/// this, so that memory would grow if nothing scrapes.
async fn run_upkeep(handle: PrometheusHandle) {
    let mut times = interval(UPKEEP_INTERVAL);
    loop {
        times.tick().await;
        handle.run_upkeep();
    }
}

const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// A few scrapers, each with a scrape under way and one that follows.
const MAX_CONNECTIONS_PER_ADDRESS: u32 = 8;
const MAX_CONNECTIONS: u32 = 32;
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// The least that hyper takes.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Prometheus gives up after ten seconds by default.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(20);
