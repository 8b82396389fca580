//! `viridian completions`: completion scripts for shells.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, Command};
use clap_complete::Shell;

/// The flags of `viridian completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that will read the script.
    shell: Shell,
}

/// Why the script could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout: {0}")]
pub(crate) struct CompletionsError(#[from] pub(crate) io::Error);

/// Writes the script for a shell and this command line to stdout.
pub(crate) fn run(
    args: &CompletionsArgs,
    mut program: Command,
) -> Result<ExitCode, CompletionsError> {
    // Into memory first: the generator panics if stdout is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "viridian", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
