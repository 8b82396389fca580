//! `viridian copy`: from SQLite to PostgreSQL.

use std::{io, process::ExitCode};

use clap::Args;
use tokio::runtime::Runtime;
use viridian_server::{Copied, CopyError, OpenError, StoreError};

use crate::{error, output};

/// The flags of `viridian copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The file to copy: sqlite:PATH. No server may have it open.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The database to copy to, which has nothing yet: postgres://…
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    to: String,
}

/// Why nothing was copied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CopyCommandError {
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
}

impl CopyCommandError {
    /// As a server that does not start has it.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Copy(CopyError::Open(OpenError::Away(_))) => error::UNAVAILABLE,
            Self::Copy(CopyError::Engines | CopyError::NotEmpty(_) | CopyError::Open(_)) => {
                error::CONFIG
            }
            Self::Copy(CopyError::Store(StoreError::Away(_) | StoreError::Held)) => {
                error::UNAVAILABLE
            }
            Self::Copy(CopyError::Store(_)) | Self::Runtime(_) | Self::Output(_) => error::SOFTWARE,
        }
    }
}

/// Says how many rows of what were copied.
pub(crate) fn run(args: &CopyArgs) -> Result<ExitCode, CopyCommandError> {
    let runtime = Runtime::new().map_err(CopyCommandError::Runtime)?;
    let copied = runtime.block_on(viridian_server::copy(&args.from, &args.to))?;
    let counts: Vec<_> = copied
        .iter()
        .map(|Copied { table, rows }| format!("{table} {rows}"))
        .collect();
    output::line(&format!("copied: {}", counts.join(", ")))?;
    Ok(ExitCode::SUCCESS)
}
