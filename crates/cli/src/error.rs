//! How a command ends when it fails: one line for people, a number for scripts.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use crate::{
    agent::AgentCommandError,
    check::CheckCommandError,
    client::CallError,
    completions::CompletionsError,
    copy::CopyCommandError,
    demo::{DemoError, replica::ReplicaError},
    deployment::DeploymentError,
    descriptor_set::DescriptorSetError,
    doctor::DoctorError,
    man::ManError,
    serve::ServeError,
    token::TokenError,
};

/// Bad usage, as clap has it too.
pub(crate) const USAGE: u8 = 2;

/// A service that is needed is away (`EX_UNAVAILABLE` of sysexits).
pub(crate) const UNAVAILABLE: u8 = 69;

/// Something failed that ought to work (`EX_SOFTWARE` of sysexits).
pub(crate) const SOFTWARE: u8 = 70;

/// The configuration cannot work (`EX_CONFIG` of sysexits).
pub(crate) const CONFIG: u8 = 78;

/// Ended because nobody reads the output any more: 128 + SIGPIPE.
const BROKEN_PIPE: u8 = 141;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    Check(#[from] CheckCommandError),
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error(transparent)]
    Copy(#[from] CopyCommandError),
    #[error(transparent)]
    Agent(#[from] AgentCommandError),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    DescriptorSet(#[from] DescriptorSetError),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error(transparent)]
    Completions(#[from] CompletionsError),
    #[error(transparent)]
    Man(#[from] ManError),
}

impl Error {
    /// Says on stderr what went wrong, and gives the code to exit with.
    pub(crate) fn report(&self) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::from(BROKEN_PIPE);
        }
        // What is to be said of that has been said.
        if let Self::Deployment(DeploymentError::Stopped(stop)) = self {
            return stop.exit_code();
        }
        // When stderr is gone too, the exit code is all that is left to give.
        let _ = writeln!(io::stderr(), "error: {self}");
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Serve(error) => error.exit_code(),
            Self::Check(error) => error.exit_code(),
            Self::Copy(error) => error.exit_code(),
            Self::Agent(error) => error.exit_code(),
            Self::Deployment(error) => error.exit_code(),
            Self::Token(error) => error.exit_code(),
            Self::DescriptorSet(error) => error.exit_code(),
            Self::Demo(error) => error.exit_code(),
            Self::Doctor(_) => SOFTWARE,
            Self::Replica(_) | Self::Completions(_) | Self::Man(_) => 1,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        let output = match self {
            Self::Deployment(DeploymentError::Call(CallError::Output(error))) => error.io(),
            Self::Token(TokenError::Output(error)) => error.io(),
            Self::Check(CheckCommandError::Output(error))
            | Self::Doctor(DoctorError::Output(error)) => error.io(),
            Self::Demo(DemoError::Output(error))
            | Self::Completions(CompletionsError(error))
            | Self::Man(ManError::Output(error))
            | Self::Copy(CopyCommandError::Output(error))
            | Self::DescriptorSet(DescriptorSetError::Output(error)) => Some(error),
            _ => None,
        };
        output.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}
