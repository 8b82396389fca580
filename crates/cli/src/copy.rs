//! `viridian copy`: copies a SQLite database to PostgreSQL.

use std::{io, process::ExitCode};

use clap::Args;
use tokio::runtime::Runtime;
use viridian_server::{Copied, CopyError, OpenError, StoreError};

use crate::{exit_code, output};

/// The flags of `viridian copy`.
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// SQLite database to copy: sqlite:PATH. Stop its server first.
    #[arg(long, value_name = "URL")]
    from: String,
    /// PostgreSQL database to copy to, which must be empty:
    /// postgres://USER@HOST/NAME.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    to: String,
}

/// Why the copy failed. The target is then unchanged.
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
    /// The codes of a server that does not start.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Copy(CopyError::Open(OpenError::Unavailable(_))) => exit_code::UNAVAILABLE,
            Self::Copy(CopyError::Engines | CopyError::NotEmpty(_) | CopyError::Open(_)) => {
                exit_code::CONFIG
            }
            Self::Copy(CopyError::Store(
                StoreError::Unavailable(_) | StoreError::Unwritable(_) | StoreError::LockTimeout,
            )) => exit_code::UNAVAILABLE,
            Self::Copy(CopyError::Store(_)) | Self::Runtime(_) | Self::Output(_) => {
                exit_code::SOFTWARE
            }
        }
    }
}

/// Copies all tables, and prints the number of rows of each.
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
