//! What the program logs, to stderr.

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
#[error("{variable} is no filter for log lines: {source}")]
pub(crate) struct LogError {
    variable: &'static str,
    source: tracing_subscriber::filter::ParseError,
}

/// Logs from now on: what the environment asks for, or from INFO up.
pub(crate) fn start(args: LogArgs) -> Result<(), LogError> {
    let filter = asked_filter()?.unwrap_or_else(|| EnvFilter::new("info"));
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

fn asked_filter() -> Result<Option<EnvFilter>, LogError> {
    for variable in ["VIRIDIAN_LOG", "RUST_LOG"] {
        let directives = env::var(variable).unwrap_or_default();
        if !directives.is_empty() {
            return EnvFilter::builder()
                .parse(directives)
                .map(Some)
                .map_err(|source| LogError { variable, source });
        }
    }
    Ok(None)
}
