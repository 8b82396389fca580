//! `viridian completions`.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;

/// The flags of `viridian completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell to write for.
    shell: Shell,
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to stdout: {0}")]
pub(crate) struct CompletionsError(#[from] pub(crate) io::Error);

/// Writes a script for the shell to stdout.
pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, CompletionsError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "viridian", &mut script);
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}
