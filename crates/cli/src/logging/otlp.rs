//! Traces: spans, exported by OTLP. The environment variables of OpenTelemetry configure
//! the export; without an endpoint there is none.
//!
//! VIRIDIAN_LOG filters log lines only. All spans of Viridian from INFO up are exported,
//! with the events from INFO up that were logged inside them; OTEL_TRACES_SAMPLER chooses
//! among them.

mod exporter;

use std::{env, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_otlp::{
    ExporterBuildError, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use tonic::transport::ClientTlsConfig;
use tracing::{Level, Subscriber, subscriber::NoSubscriber};
use tracing_subscriber::{Layer, filter::Targets, registry::LookupSpan};

use self::exporter::QuietExporter;

/// Exports spans until it is shut down.
#[derive(Debug)]
pub(crate) struct OtlpTraces {
    endpoint: String,
    provider: SdkTracerProvider,
}

/// Why spans cannot be exported as the environment configures it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OtlpError {
    #[error("{variable} is {value:?}: {expected}")]
    Unknown {
        variable: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("cannot export traces to {endpoint}: {source}")]
    Exporter {
        endpoint: String,
        source: ExporterBuildError,
    },
}

impl OtlpTraces {
    /// The export that the environment configures. Must run inside a tokio runtime, on
    /// which the exporter spawns its tasks.
    pub(crate) fn from_environment() -> Result<Option<Self>, OtlpError> {
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        // OpenTelemetry has a default endpoint. With it, every
        // server without a collector would log failed exports.
        let Some((_, endpoint)) = first(ENDPOINT) else {
            return Ok(None);
        };
        check()?;
        let mut builder = SpanExporter::builder().with_tonic();
        // Any other scheme gets TLS: no span may leave in clear text by mistake.
        if !endpoint.starts_with("http://") {
            builder = builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
        }
        let exporter = match builder.with_endpoint(&*endpoint).build() {
            Ok(exporter) => QuietExporter::new(exporter),
            Err(source) => return Err(OtlpError::Exporter { endpoint, source }),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self { endpoint, provider }))
    }

    /// The layer that collects spans.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("viridian"))
            // Source locations, threads and idle times do not help operators.
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // No code here reads the current span from OpenTelemetry.
            .with_context_activation(false)
            .with_filter(Targets::new().with_target("viridian", Level::INFO))
    }

    /// Logs that traces are exported.
    pub(crate) fn log_start(&self) {
        tracing::info!(endpoint = self.endpoint, "exporting traces");
    }

    /// Exports the remaining spans, within [`SPAN_FLUSH_TIMEOUT`].
    pub(crate) fn shut_down(self) {
        // No subscriber: the SDK would log an error of its own.
        let quietly = || self.provider.shutdown_with_timeout(SPAN_FLUSH_TIMEOUT);
        if let Err(error) = tracing::subscriber::with_default(NoSubscriber::new(), quietly) {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

/// Refuses values that the SDK would ignore: with a misspelt sampler it would export
/// everything.
fn check() -> Result<(), OtlpError> {
    for (variables, known, expected) in [
        (PROTOCOL, &["grpc"][..], "only grpc is supported"),
        (SAMPLER, SAMPLERS, "this sampler is not supported"),
    ] {
        if let Some((variable, value)) = first(variables)
            && !known.contains(&&*value)
        {
            return Err(OtlpError::Unknown {
                variable,
                value,
                expected,
            });
        }
    }
    let ratio = |it: &str| it.parse().is_ok_and(|it: f64| (0.0..=1.0).contains(&it));
    match first(SAMPLER_ARG) {
        Some((variable, value)) if !ratio(&value) => Err(OtlpError::Unknown {
            variable,
            value,
            expected: "expected a ratio from 0 to 1",
        }),
        _ => Ok(()),
    }
}

/// The resource of the spans. Attributes from the environment come last, and win.
fn resource() -> Resource {
    let builder = Resource::builder_empty()
        .with_attributes([
            KeyValue::new(SERVICE_NAME, "viridian"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ])
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ]);
    match first(NAME) {
        Some((_, name)) => builder.with_service_name(name).build(),
        None => builder.build(),
    }
}

/// The first variable that is set and not empty.
fn first(variables: &[&'static str]) -> Option<(&'static str, String)> {
    variables.iter().find_map(|&variable| {
        let value = env::var(variable).ok().filter(|it| !it.is_empty())?;
        Some((variable, value))
    })
}

fn is(variable: &'static str, wanted: &str) -> bool {
    first(&[variable]).is_some_and(|(_, value)| value.eq_ignore_ascii_case(wanted))
}

/// Together with the shutdown before it, the server ends within 10 s.
const SPAN_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

const SERVICE_NAME: &str = "service.name";

const ENDPOINT: &[&str] = &[
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];
const PROTOCOL: &[&str] = &[
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const NAME: &[&str] = &["OTEL_SERVICE_NAME"];
const SAMPLER: &[&str] = &["OTEL_TRACES_SAMPLER"];
const SAMPLER_ARG: &[&str] = &["OTEL_TRACES_SAMPLER_ARG"];

/// The samplers of the SDK.
const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
