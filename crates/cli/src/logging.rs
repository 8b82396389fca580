//! Logging to stderr, and the export of traces.

mod line_writer;
mod one_line;
#[cfg(feature = "otlp")]
mod otlp;

use std::{
    env,
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    os::fd::AsFd as _,
    panic,
    sync::OnceLock,
    thread,
    time::Duration,
};

use clap::{Args, ValueEnum};
use metrics::counter;
use tracing_subscriber::EnvFilter;
use viridian_server::LOG_LINES_DROPPED;

use self::{line_writer::LineWriter, one_line::OneLine};

/// The flags of commands that log.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct LogArgs {
    /// Format of log lines on stderr.
    ///
    /// VIRIDIAN_LOG (or RUST_LOG) sets the level: error, warn, info (default), debug
    /// or trace, also for single modules, like info,viridian_server=debug.
    #[arg(
        long,
        env = "VIRIDIAN_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line, for log collectors.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error("{variable} is not a valid log filter: {source}")]
    Filter {
        variable: &'static str,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("cannot write a log: {0}")]
    Writer(#[from] io::Error),
    #[cfg(feature = "otlp")]
    #[error(transparent)]
    Traces(#[from] otlp::OtlpError),
}

/// Exports the remaining traces at the end of the program.
#[must_use]
pub(crate) struct LogGuard {
    #[cfg(feature = "otlp")]
    traces: Option<otlp::OtlpTraces>,
}

impl LogGuard {
    /// Exports the remaining traces, within a time limit.
    pub(crate) fn flush(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.shut_down();
        }
    }
}

/// Starts logging, and the export of traces if the environment names an endpoint. Must
/// run inside a tokio runtime.
#[cfg(feature = "otlp")]
pub(crate) fn start_with_traces(args: LogArgs) -> Result<LogGuard, LogError> {
    use tracing_subscriber::{Layer as _, layer::SubscriberExt as _, util::SubscriberInitExt as _};

    let Some(traces) = otlp::OtlpTraces::from_environment()? else {
        start(args)?;
        return Ok(LogGuard { traces: None });
    };
    // The filter is for log lines only: a span is exported whatever the log level.
    let filter = filter()?;
    let (lines, writer) = (tracing_subscriber::fmt::layer(), line_writer()?);
    // Boxed, since the two formats are two types of layers.
    let lines = match args.log_format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            let lines = lines.with_writer(move || one_line(writer.clone(), colours));
            lines.with_ansi(colours).boxed()
        }
        LogFormat::Json => lines.with_writer(writer).json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces.layer())
        .init();
    traces.log_start();
    Ok(LogGuard {
        traces: Some(traces),
    })
}

/// Starts logging. This build cannot export traces.
#[cfg(not(feature = "otlp"))]
pub(crate) fn start_with_traces(args: LogArgs) -> Result<LogGuard, LogError> {
    start(args)?;
    Ok(LogGuard {})
}

/// Starts logging at the level that the environment sets, or at INFO.
pub(crate) fn start(args: LogArgs) -> Result<(), LogError> {
    let builder = tracing_subscriber::fmt().with_env_filter(filter()?);
    let writer = line_writer()?;
    match args.log_format {
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            let builder = builder.with_writer(move || one_line(writer.clone(), colours));
            builder.with_ansi(colours).init();
        }
        LogFormat::Json => builder
            .with_writer(writer)
            .json()
            .flatten_event(true)
            .init(),
    }
    Ok(())
}

/// Starts logging if the environment sets a level, and returns whether it does.
pub(crate) fn start_if_requested() -> Result<bool, LogError> {
    let Some(filter) = requested_filter()? else {
        return Ok(false);
    };
    let colours = io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(move || one_line(io::stderr(), colours))
        .init();
    Ok(true)
}

fn one_line<W>(out: W, colours: bool) -> OneLine<W> {
    OneLine { out, colours }
}

/// Makes a panic print one line instead of a backtrace.
pub(crate) fn report_panics_in_one_line() {
    panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
        let what = info.payload_as_str().unwrap_or("no message");
        report_line(&format!("error: a bug in viridian: {what}{place}"));
        // The process ends with this thread, and its last line with it.
        if thread::current().name() == Some("main") {
            flush();
        }
    }));
}

/// Writes a line to stderr that is no event: the error that ends a command, or a bug. A
/// command that logs must not wait for stderr here either.
pub(crate) fn report_line(line: &str) {
    match LINES.get() {
        Some(lines) => lines.add(format!("{line}\n").as_bytes()),
        // Not eprintln: it would panic if stderr is closed, and a panic is reported here.
        None => drop(writeln!(io::stderr(), "{line}")),
    }
}

/// Waits until stderr has taken all lines, but not for long: it may have no reader.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(FLUSH_TIMEOUT);
    }
}

/// What events are written to. Starts its thread at the first call.
fn line_writer() -> io::Result<LineWriter> {
    if let Some(lines) = LINES.get() {
        return Ok(lines.clone());
    }
    // Not `io::stderr`: a thread that blocks in it keeps its lock, and so blocks all others.
    let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let lines = LineWriter::start(stderr, |dropped| {
        counter!(LOG_LINES_DROPPED).increment(dropped);
        tracing::warn!(
            dropped,
            "log lines were dropped: stderr was not read for a while"
        );
    })?;
    Ok(LINES.get_or_init(|| lines).clone())
}

static LINES: OnceLock<LineWriter> = OnceLock::new();

const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

fn filter() -> Result<EnvFilter, LogError> {
    Ok(requested_filter()?.unwrap_or_else(|| EnvFilter::new("info")))
}

fn requested_filter() -> Result<Option<EnvFilter>, LogError> {
    for variable in ["VIRIDIAN_LOG", "RUST_LOG"] {
        let directives = env::var(variable).unwrap_or_default();
        // A variable that is set to nothing, as in a compose file, counts as not set.
        if !directives.is_empty() {
            return EnvFilter::builder()
                .parse(directives)
                .map(Some)
                .map_err(|source| LogError::Filter { variable, source });
        }
    }
    Ok(None)
}
