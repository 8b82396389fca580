//! The endpoint that Prometheus scrapes.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, time::interval};

use super::ScrapeGauges;

/// Answers `GET /metrics` until it is dropped.
pub(crate) async fn serve(listener: TcpListener, handle: PrometheusHandle, gauges: ScrapeGauges) {
    let (rendered, gauges) = (handle.clone(), Arc::new(gauges));
    let page = async move || {
        gauges.refresh().await;
        ([(CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE)], rendered.render())
    };
    let pages = Router::new().route("/metrics", get(page));
    let serving = async { axum::serve(listener, pages).await };
    tokio::select! {
        ended = serving => ended.unwrap_or_else(log),
        () = run_upkeep(handle) => {}
    }
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

fn log(error: io::Error) {
    tracing::error!(%error, "metrics are no longer served");
}

const PROMETHEUS_CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
