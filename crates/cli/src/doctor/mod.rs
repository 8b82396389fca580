//! `viridian doctor`: checks a server's configuration, database, clock and credentials,
//! and says how to fix what is wrong.
//!
//! - `finding`: the results, as text and JSON.
//! - `database`, `security`, `server`: the checks.

mod database;
mod finding;
mod security;
mod server;

use std::{io, path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::runtime::Runtime;
use viridian_client::normalize_url;

use self::finding::DoctorFinding;
use crate::{
    output::{self, OutputError, OutputFormat},
    serve::ServeArgs,
};

/// The flags of `viridian doctor`: those of `viridian serve`, and a running server.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Also check that the server at this URL is serving.
    #[arg(long, value_name = "URL", value_parser = normalize_url, help_heading = "Server")]
    server: Option<String>,
    /// CAs of that server's certificate, in PEM [default: the CAs that this machine
    /// trusts].
    #[arg(
        long,
        env = "VIRIDIAN_TLS_CA",
        value_name = "FILE",
        help_heading = "Server"
    )]
    tls_ca: Option<PathBuf>,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

/// Why no check was made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Exits with 1 if something is wrong.
pub(crate) fn run(args: DoctorArgs) -> Result<ExitCode, DoctorError> {
    let output = args.output;
    let runtime = Runtime::new().map_err(DoctorError::Runtime)?;
    let findings = runtime.block_on(examine(args));
    let shown = output::value(output, &finding::json(&findings))?
        .unwrap_or_else(|| finding::text(&findings));
    output::line(&shown).map_err(OutputError::Write)?;
    Ok(if findings.iter().any(DoctorFinding::is_wrong) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Makes all checks, also after one has failed.
async fn examine(args: DoctorArgs) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    // The configuration takes the flags, so that the database is checked first. Its
    // finding still comes first in the output.
    let folder = args.serve.default_folder().ok().flatten();
    match args.serve.database() {
        Ok(url) => findings.extend(database::examine(&url, folder.as_deref()).await),
        Err(error) => findings.push(DoctorFinding::wrong("database", error, "set --database")),
    }
    match args.serve.config().await {
        Ok(config) => {
            findings.insert(
                0,
                match config.check() {
                    Ok(()) => DoctorFinding::fine(
                        "configuration",
                        format!("listens on {}", config.listen),
                    ),
                    Err(error) => DoctorFinding::wrong("configuration", error, FLAGS_FIX),
                },
            );
            findings.extend(security::examine(&config));
        }
        Err(error) => findings.insert(0, DoctorFinding::wrong("configuration", error, FLAGS_FIX)),
    }
    if let Some(url) = &args.server {
        findings.push(server::examine(url, args.tls_ca.as_deref()).await);
    }
    findings
}

const FLAGS_FIX: &str = "see `viridian serve --help` for the flags and their environment variables";
