//! `viridian doctor`: what is wrong with a server's configuration, its database,
//! its clock and its credentials, and how to mend it.
//!
//! - `finding`: what is found, and how it is shown.
//! - `database`, `security`, `server`: where it is looked for, a file each.

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

/// The flags of `viridian doctor`: those of `viridian serve`, and which server.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// Also ask the server that runs there whether it serves.
    #[arg(long, value_name = "URL", value_parser = normalize_url, help_heading = "Server")]
    server: Option<String>,
    /// The CAs that its certificate may be of, in PEM [default: those that this
    /// machine trusts].
    #[arg(
        long,
        env = "VIRIDIAN_TLS_CA",
        value_name = "FILE",
        help_heading = "Server"
    )]
    tls_ca: Option<PathBuf>,
    /// How to show what is found.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

/// Why nothing was looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Exits with 1 when something is wrong.
pub(crate) fn run(args: DoctorArgs) -> Result<ExitCode, DoctorError> {
    let output = args.output;
    let runtime = Runtime::new().map_err(DoctorError::Runtime)?;
    let findings = runtime.block_on(look(args));
    let shown = output::value(output, &finding::json(&findings))?
        .unwrap_or_else(|| finding::text(&findings));
    output::line(&shown).map_err(OutputError::Write)?;
    Ok(if findings.iter().any(DoctorFinding::is_wrong) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Looks everywhere, whatever is found on the way.
async fn look(args: DoctorArgs) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    let folder = args.serve.default_folder().ok().flatten();
    match args.serve.database() {
        Ok(url) => findings.extend(database::look(&url, folder.as_deref()).await),
        Err(error) => findings.push(DoctorFinding::wrong("database", error, "give --database")),
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
                    Err(error) => DoctorFinding::wrong("configuration", error, SERVE_HELP),
                },
            );
            findings.extend(security::look(&config));
        }
        Err(error) => findings.insert(0, DoctorFinding::wrong("configuration", error, SERVE_HELP)),
    }
    if let Some(url) = &args.server {
        findings.push(server::look(url, args.tls_ca.as_deref()).await);
    }
    findings
}

const SERVE_HELP: &str = "`viridian serve --help` has all flags and their variables";
