//! An exporter that logs an outage of the collector seldom, and gives spans the names
//! that viewers of traces expect.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{Value, trace::SpanKind};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, error::OTelSdkResult, trace::SpanData};

/// Exports spans. An outage of the collector is logged once per [`OUTAGE_LOG_INTERVAL`].
#[derive(Debug)]
pub(super) struct QuietExporter {
    inner: SpanExporter,
    outage: Mutex<Option<ExportOutage>>,
}

/// A collector that fails or does not answer.
#[derive(Debug)]
struct ExportOutage {
    /// Spans lost since the outage began.
    lost: usize,
    logged_at: Instant,
}

impl QuietExporter {
    pub(super) fn new(inner: SpanExporter) -> Self {
        Self {
            inner,
            outage: Mutex::new(None),
        }
    }

    /// Logs the start and the end of an outage.
    fn log_result(&self, spans: usize, result: &OTelSdkResult) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = result else {
            if let Some(ExportOutage { lost, .. }) = outage.take() {
                tracing::info!(lost, "traces are exported again");
            }
            return;
        };
        let now = Instant::now();
        // Added up over the outage, so that each line has the whole loss.
        let lost = spans + outage.as_ref().map_or(0, |it| it.lost);
        let logged_at = outage.as_ref().map(|it| it.logged_at);
        let logged_at = match logged_at.filter(|&at| now.duration_since(at) < OUTAGE_LOG_INTERVAL) {
            Some(at) => at,
            None => {
                tracing::warn!(%error, lost, "traces cannot be exported");
                now
            }
        };
        *outage = Some(ExportOutage { lost, logged_at });
    }
}

impl opentelemetry_sdk::trace::SpanExporter for QuietExporter {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(rename);
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.log_result(spans, &result);
        // Always Ok: the SDK would log every failed batch.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Names the span of a call by its method, and the span of a unit of work by the unit:
/// viewers of traces search by name.
fn rename(span: &mut SpanData) {
    let attribute = |key: &str| {
        let mut found = span.attributes.iter().filter(|it| it.key.as_str() == key);
        found.next().map(|it| it.value.clone())
    };
    let name = match &*span.name {
        "rpc" => attribute("method"),
        "unit" => attribute("unit"),
        _ => None,
    };
    if span.name == "rpc" {
        span.span_kind = SpanKind::Server;
    }
    if let Some(Value::String(name)) = name {
        span.name = String::from(name).into();
    }
}

/// Time between two log lines about one outage.
const OUTAGE_LOG_INTERVAL: Duration = Duration::from_secs(300);
