//! `viridian man`.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use crate::args::Cli;

/// The flags of `viridian man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write a page for every command into this folder, which must be there.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManError {
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write into {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
}

/// Writes the page, or all pages.
pub(crate) fn run(args: &ManArgs) -> Result<ExitCode, ManError> {
    match &args.to {
        Some(folder) => {
            clap_mangen::generate_to(Cli::command(), folder).map_err(|source| {
                ManError::Folder {
                    folder: folder.clone(),
                    source,
                }
            })?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            io::stdout().lock().write_all(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
