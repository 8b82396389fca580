//! What the program logs, to stderr, and the traces that it exports.

#[cfg(feature = "otlp")]
mod otlp;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    panic,
};

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LogArgs {
    /// How log lines look. VIRIDIAN_LOG (or RUST_LOG) says which there are.
    #[arg(
        long,
        env = "VIRIDIAN_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

/// How log lines look: for people, or one JSON object each.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{variable} is no filter for log lines: {source}")]
    Filter {
        variable: &'static str,
        source: tracing_subscriber::filter::ParseError,
    },
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Traces(#[from] otlp::OtlpError),
}

/// What is still to be told at the end.
#[must_use]
pub(crate) struct Telling {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

impl Telling {
    /// Tells it, if that does not take long.
    pub(crate) fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.end();
        }
    }
}

/// Logs from now on, and exports traces if this program can and the environment
/// says where to. Needs a tokio runtime for that.
#[cfg(feature = "otlp")]
pub(crate) fn start_with_traces(args: LogArgs) -> Result<Telling, LogError> {
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

    let Some(traces) = otlp::Traces::from_environment()? else {
        start(args)?;
        return Ok(Telling { traces: None });
    };
    // The filter is that of the lines alone: spans are exported whatever is logged.
    let filter = filter()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let lines = match args.log_format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces.layer())
        .init();
    traces.announce();
    Ok(Telling {
        traces: Some(traces),
    })
}

/// The same without: this program cannot export traces.
#[cfg(not(feature = "otlp"))]
pub(crate) fn start_with_traces(args: LogArgs) -> Result<Telling, LogError> {
    start(args)?;
    Ok(Telling {})
}

/// Logs from now on: what the environment asks for, or from INFO up.
pub(crate) fn start(args: LogArgs) -> Result<(), LogError> {
    let filter = filter()?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    match args.log_format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

/// Logs from now on if the environment asks for it, and says whether it does.
pub(crate) fn start_if_asked() -> Result<bool, LogError> {
    let Some(filter) = asked_filter()? else {
        return Ok(false);
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(true)
}

/// Whatever goes wrong in here, nobody is shown a backtrace.
pub(crate) fn report_panics_in_one_line() {
    panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        let what = info.payload_as_str().unwrap_or("no message");
        let _ = writeln!(io::stderr(), "error: a bug in viridian: {what}{place}");
    }));
}

fn filter() -> Result<EnvFilter, LogError> {
    Ok(asked_filter()?.unwrap_or_else(|| EnvFilter::new("info")))
}

fn asked_filter() -> Result<Option<EnvFilter>, LogError> {
    for variable in ["VIRIDIAN_LOG", "RUST_LOG"] {
        let directives = env::var(variable).unwrap_or_default();
        if !directives.is_empty() {
            return EnvFilter::builder()
                .parse(directives)
                .map(Some)
                .map_err(|source| LogError::Filter { variable, source });
        }
    }
    Ok(None)
}
