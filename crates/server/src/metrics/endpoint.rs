//! Where Prometheus reads.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, time::interval};

use super::ScrapeGauges;

/// Answers `GET /metrics` until it is dropped.
pub(crate) async fn serve(listener: TcpListener, handle: PrometheusHandle, gauges: ScrapeGauges) {
    let (told, gauges) = (handle.clone(), Arc::new(gauges));
    let tell = async move || {
        gauges.refresh().await;
        ([(CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE)], told.render())
    };
    let pages = Router::new().route("/metrics", get(tell));
    let serving = async { axum::serve(listener, pages).await };
    tokio::select! {
        ended = serving => ended.unwrap_or_else(log),
        () = tidy(handle) => {}
    }
}

/// Histograms are kept as they come in until someone reads or tidies them, and
/// it may be that nobody reads.
async fn tidy(handle: PrometheusHandle) {
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
