//! Why a verb failed.

use std::io;

use tonic::Status;

use super::{advice, apply::FileError, policy::PolicyError, settings::SettingError};
use crate::{client::CallError, exit_code, output::OutputError, signals::StopSignal};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeploymentError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{}", advice::sentence(status, deployment))]
    Refused {
        status: Box<Status>,
        /// As the caller named it.
        deployment: String,
    },
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{path} cannot change: where a deployment belongs is settled when it is created")]
    Settled { path: String },
    #[error("nothing to change was named: see `viridian deployment update --help`")]
    NothingNamed,
    #[error("the server's reply to this call is empty; is it of another version?")]
    EmptyReply,
    #[error(
        "{deployment} did not come to {until}: {instead}; `viridian deployment get {deployment}` says \
         where it is"
    )]
    NotReached {
        deployment: String,
        until: String,
        instead: String,
    },
    #[error("nothing was changed")]
    Declined,
    #[error("cannot ask: {0}")]
    Ask(#[source] io::Error),
    #[error("cannot draw: {0}")]
    Draw(#[source] io::Error),
    #[error("no longer waiting")]
    Stopped(StopSignal),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl DeploymentError {
    /// 64 and the gRPC code for a refused call, 2 for flags that do not fit, 128
    /// and the number of the signal that ended it, 1 when what was waited for did
    /// not come.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) => error.exit_code(),
            Self::Refused { status, .. } => exit_code::of_grpc(status.code()),
            Self::Policy(_)
            | Self::Setting(_)
            | Self::File(_)
            | Self::Settled { .. }
            | Self::NothingNamed => exit_code::USAGE,
            Self::Stopped(stop) => stop.code(),
            Self::EmptyReply
            | Self::NotReached { .. }
            | Self::Declined
            | Self::Ask(_)
            | Self::Draw(_)
            | Self::Runtime(_) => exit_code::FAILURE,
        }
    }

    /// A refusal that knows which deployment it is about can say what to do.
    pub(super) fn about(self, deployment: Option<String>) -> Self {
        match (self, deployment) {
            (Self::Call(CallError::Refused(status)), Some(deployment)) => Self::Refused {
                status: Box::new(status),
                deployment,
            },
            (error, _) => error,
        }
    }
}

impl From<Status> for DeploymentError {
    fn from(status: Status) -> Self {
        Self::Call(status.into())
    }
}

impl From<OutputError> for DeploymentError {
    fn from(error: OutputError) -> Self {
        Self::Call(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(source: io::Error) -> DeploymentError {
        let file = "cart.yaml".to_owned();
        FileError::Read { file, source }.into()
    }

    #[test]
    fn each_is_a_sentence() {
        let server = "http://127.0.0.1:1".to_owned();
        let reason = || "connection refused".to_owned();
        let errors: Vec<DeploymentError> = vec![
            CallError::Unreachable {
                server,
                reason: reason(),
            }
            .into(),
            CallError::Broken { reason: reason() }.into(),
            PolicyError.into(),
            file(io::ErrorKind::NotFound.into()),
            FileError::NoName {
                file: "cart.yaml".to_owned(),
            }
            .into(),
            DeploymentError::Settled {
                path: "metadata.domain".to_owned(),
            },
            DeploymentError::NothingNamed,
            DeploymentError::EmptyReply,
            DeploymentError::NotReached {
                deployment: "shop/cart".to_owned(),
                until: "ready".to_owned(),
                instead: "the time is over (5s)".to_owned(),
            },
            DeploymentError::Declined,
            DeploymentError::Ask(io::ErrorKind::BrokenPipe.into()),
            DeploymentError::Draw(io::ErrorKind::BrokenPipe.into()),
        ];
        let lines = errors
            .iter()
            .map(|error| format!("{:>3} {error}", error.exit_code()));
        insta::assert_snapshot!("errors", lines.collect::<Vec<_>>().join("\n"));
    }
}
