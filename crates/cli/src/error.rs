//! The end of a failed command: a line on stderr, and an exit code.

use std::{io, process::ExitCode};

use crate::{
    agent::AgentCommandError,
    check::CheckCommandError,
    completions::CompletionsError,
    copy::CopyCommandError,
    demo::{DemoError, replica::ReplicaError},
    deployment::DeploymentError,
    descriptor_set::DescriptorSetError,
    doctor::DoctorError,
    exit_code, logging,
    man::ManError,
    serve::ServeError,
    table::clean_lines,
    token::TokenError,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
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

impl CommandError {
    /// Prints the error on stderr, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        // As in `viridian … | head`: the reader has what it wanted, so that no message is due.
        if self.is_broken_pipe() {
            return ExitCode::from(exit_code::BROKEN_PIPE);
        }
        // The command printed its message already.
        if let Self::Deployment(DeploymentError::Stopped(stop)) = self {
            return stop.exit_code();
        }
        if let Self::Deployment(DeploymentError::Shown { .. }) = self {
            return ExitCode::from(self.code());
        }
        // A server, a file and a command line have a part in it.
        let message = clean_lines(&self.to_string());
        match self {
            // No failure: it is done so far.
            Self::Deployment(DeploymentError::ActionNeeded { .. }) => {
                logging::report_line(&message);
            }
            // If stderr is closed too, the exit code is all that can be reported.
            _ => logging::report_line(&format!("error: {message}")),
        }
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
            // Not 1, which says that the doctor has found a problem.
            Self::Doctor(_) => exit_code::SOFTWARE,
            Self::Replica(_) | Self::Completions(_) | Self::Man(_) => exit_code::FAILURE,
        }
    }

    fn is_broken_pipe(&self) -> bool {
        let output = match self {
            Self::Deployment(DeploymentError::Output(error)) => error.io(),
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
