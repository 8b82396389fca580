//! `viridian completions`: completion scripts for shells.
//!
//! A script calls this program for the candidates, so that names come from the server.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Args, Command};
use clap_complete::{CompleteEnv, Shell, env::Shells};

use crate::names;

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

/// Writes the script for a shell to stdout.
pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, CompletionsError> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let name = args.shell.to_string();
    let Some(shell) = shells.completer(&name) else {
        unreachable!("every shell of the flag has a script: a test writes them all")
    };
    // The program by its name: the script finds it on the PATH of the shell.
    shell.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, &mut script)?;
    io::stdout().lock().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Answers a script that asks for candidates, and ends the program. Does nothing in any
/// other run.
pub(crate) fn answer(program: fn() -> Command) {
    names::read_lines_by(program);
    CompleteEnv::with_factory(program)
        .var(VARIABLE)
        .bin(PROGRAM)
        .complete();
}

/// What the scripts set when they ask.
const VARIABLE: &str = "VIRIDIAN_COMPLETE";
const PROGRAM: &str = "viridian";

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_has_a_script() {
        for shell in Shell::value_variants() {
            let name = shell.to_string();
            assert!(Shells::builtins().completer(&name).is_some(), "{name}");
        }
    }
}
