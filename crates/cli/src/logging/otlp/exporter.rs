//! An exporter that does not complain all the time, and dresses spans as others
//! name them.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use opentelemetry::{Value, trace::SpanKind};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{Resource, error::OTelSdkResult, trace::SpanData};

/// Exports; a collector that is away is a line in the log now and then.
#[derive(Debug)]
pub(super) struct Patient {
    inner: SpanExporter,
    trouble: Mutex<Option<Trouble>>,
}

/// A collector that does not take what it is sent.
#[derive(Debug)]
struct Trouble {
    /// Spans, since it began.
    lost: usize,
    told: Instant,
}

impl Patient {
    pub(super) fn new(inner: SpanExporter) -> Self {
        Self {
            inner,
            trouble: Mutex::new(None),
        }
    }

    /// Tells how it went, if there is anything to tell.
    fn tell(&self, spans: usize, result: &OTelSdkResult) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = result else {
            if let Some(Trouble { lost, .. }) = trouble.take() {
                tracing::info!(lost, "traces are exported again");
            }
            return;
        };
        let now = Instant::now();
        let lost = spans + trouble.as_ref().map_or(0, |it| it.lost);
        let told = trouble.as_ref().map(|it| it.told);
        let told = match told.filter(|&at| now.duration_since(at) < QUIET) {
            Some(at) => at,
            None => {
                tracing::warn!(%error, lost, "traces cannot be exported");
                now
            }
        };
        *trouble = Some(Trouble { lost, told });
    }
}

impl opentelemetry_sdk::trace::SpanExporter for Patient {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(dress);
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.tell(spans, &result);
        // It is told. The SDK would tell it each time.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// A call has the name of its method, and a unit that of what it does: there they
/// are looked for.
fn dress(span: &mut SpanData) {
    let said = |key: &str| {
        let mut found = span.attributes.iter().filter(|it| it.key.as_str() == key);
        found.next().map(|it| it.value.clone())
    };
    let name = match &*span.name {
        "rpc" => said("method"),
        "unit" => said("unit"),
        _ => None,
    };
    if span.name == "rpc" {
        span.span_kind = SpanKind::Server;
    }
    if let Some(Value::String(name)) = name {
        span.name = String::from(name).into();
    }
}

/// How long a collector is away before that is told again.
const QUIET: Duration = Duration::from_secs(300);
