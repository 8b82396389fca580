//! Traces: spans, exported by OTLP to where the environment says, by the variables
//! of OpenTelemetry. Without an endpoint there is nothing to export.
//!
//! VIRIDIAN_LOG has no say in it: it chooses lines. What is exported are all spans
//! of Viridian from INFO up, with the lines from INFO up that were logged in them;
//! OTEL_TRACES_SAMPLER chooses among them.

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

use self::exporter::Patient;

/// Exports spans until its end.
#[derive(Debug)]
pub(crate) struct Traces {
    endpoint: String,
    provider: SdkTracerProvider,
}

/// Why spans cannot be exported as the environment asks for it.
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

impl Traces {
    /// What the environment asks for. Needs a tokio runtime, in which the exporter
    /// then is.
    pub(crate) fn from_environment() -> Result<Option<Self>, OtlpError> {
        if is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none") {
            return Ok(None);
        }
        let Some((_, endpoint)) = first(ENDPOINT) else {
            return Ok(None);
        };
        check()?;
        let mut builder = SpanExporter::builder().with_tonic();
        if !endpoint.starts_with("http://") {
            builder = builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots());
        }
        let exporter = match builder.with_endpoint(&*endpoint).build() {
            Ok(exporter) => Patient::new(exporter),
            Err(source) => return Err(OtlpError::Exporter { endpoint, source }),
        };
        let provider = SdkTracerProvider::builder()
            .with_resource(resource())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self { endpoint, provider }))
    }

    /// What gathers them.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("viridian"))
            // Where in its sources, on which thread and how often it was looked at
            // is of no use to those who run it.
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            // Nothing in here asks OpenTelemetry which span it is in.
            .with_context_activation(false)
            .with_filter(Targets::new().with_target("viridian", Level::INFO))
    }

    /// Says that there are some.
    pub(crate) fn announce(&self) {
        tracing::info!(endpoint = self.endpoint, "exporting traces");
    }

    /// Exports what is left, if that does not take long.
    pub(crate) fn end(self) {
        // The SDK would call it an error.
        let quietly = || self.provider.shutdown_with_timeout(LAST_SPANS);
        if let Err(error) = tracing::subscriber::with_default(NoSubscriber::new(), quietly) {
            tracing::warn!(%error, "the last traces could not be exported");
        }
    }
}

/// Refuses what the SDK would pass over, so that nobody has to wonder why there is
/// nothing, or all.
fn check() -> Result<(), OtlpError> {
    for (variables, known, expected) in [
        (PROTOCOL, &["grpc"][..], "only grpc is spoken"),
        (SAMPLER, SAMPLERS, "no such sampler is known here"),
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
            expected: "it is no ratio from 0 to 1",
        }),
        _ => Ok(()),
    }
}

/// Who tells of this. What the environment says comes last, and counts.
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

/// The first of some variables that says anything.
fn first(variables: &[&'static str]) -> Option<(&'static str, String)> {
    variables.iter().find_map(|&variable| {
        let value = env::var(variable).ok().filter(|it| !it.is_empty())?;
        Some((variable, value))
    })
}

fn is(variable: &'static str, wanted: &str) -> bool {
    first(&[variable]).is_some_and(|(_, value)| value.eq_ignore_ascii_case(wanted))
}

/// So long at most: with what comes before it the server is gone within 10 s.
const LAST_SPANS: Duration = Duration::from_secs(1);

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

/// Those that the SDK has.
const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
