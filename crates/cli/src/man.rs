//! `viridian man`: manual pages.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, Command};
use clap_mangen::Man;

/// The flags of `viridian man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one page for each command into this folder, which must exist [default:
    /// the page of the program to stdout].
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Why a page could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManError {
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
    #[error("cannot write into {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
}

/// Writes one page, or a page for each command.
pub(crate) fn run(args: &ManArgs, program: Command) -> Result<ExitCode, ManError> {
    match &args.to {
        Some(folder) => {
            clap_mangen::generate_to(program, folder).map_err(|source| ManError::Folder {
                folder: folder.clone(),
                source,
            })?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(program).render(&mut page)?;
            io::stdout().lock().write_all(&page)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
