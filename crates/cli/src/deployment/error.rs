//! The failures of `viridian deployment` and `viridian top`.

use std::io;

use tonic::{Code, Status};
use viridian_client::CallError;

use super::{
    advice,
    policy::MixedStrategiesError,
    settings::{SettingError, SettingsFileError},
};
use crate::{
    call_error, exit_code, output::OutputError, server_args::ServerError, signals::StopSignal,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeploymentError {
    #[error("{}", call_error::describe(.0))]
    Call(#[from] CallError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{}", advice::sentence(status, deployment))]
    Refused {
        status: Box<Status>,
        /// The reference that the user gave.
        deployment: String,
    },
    /// Of several deployments, none of which was changed.
    #[error("{}", lines(.0))]
    Several(Vec<DeploymentError>),
    #[error(transparent)]
    Policy(#[from] MixedStrategiesError),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error(transparent)]
    File(#[from] SettingsFileError),
    #[error("--request-id names one call, and the file has several deployments")]
    OneRequestId,
    #[error("no setting to change was given; see `viridian deployment update --help`")]
    NothingNamed,
    #[error("the server sent an empty reply; is it of another version?")]
    EmptyReply,
    #[error(
        "{deployment} is not {goal}: {reason}; `viridian deployment get {deployment}` shows its \
         state"
    )]
    NotReached {
        deployment: String,
        goal: String,
        reason: String,
    },
    #[error("nothing was changed")]
    Declined,
    #[error("cannot ask for confirmation: {0}")]
    Ask(#[source] io::Error),
    #[error("cannot draw on the terminal: {0}")]
    Draw(#[source] io::Error),
    #[error("stopped waiting")]
    Stopped(StopSignal),
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
}

impl DeploymentError {
    /// 64 + the gRPC code for a refused call, 2 for bad flags or settings, 128 + the
    /// number of the signal that ended the command, else 1.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) => call_error::exit_code_of(error),
            Self::Refused { status, .. } => exit_code::of_grpc(status.code()),
            Self::Several(errors) => errors
                .first()
                .map_or(exit_code::FAILURE, DeploymentError::exit_code),
            Self::Server(_)
            | Self::Policy(_)
            | Self::Setting(_)
            | Self::File(_)
            | Self::OneRequestId
            | Self::NothingNamed => exit_code::USAGE,
            Self::Stopped(stop) => stop.code(),
            Self::Output(_)
            | Self::EmptyReply
            | Self::NotReached { .. }
            | Self::Declined
            | Self::Ask(_)
            | Self::Draw(_)
            | Self::Runtime(_) => exit_code::FAILURE,
        }
    }

    /// Whether the server knows nothing of that name.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Call(CallError::Refused(status)) if status.code() == Code::NotFound)
    }

    /// Names the deployment of a refusal, so that its message can advise a command.
    pub(super) fn about(self, deployment: Option<String>) -> Self {
        match (self, deployment) {
            (
                // A call that timed out may have been executed, and has advice too.
                Self::Call(error @ (CallError::Refused(_) | CallError::Timeout { .. })),
                Some(deployment),
            ) => Self::Refused {
                status: Box::new(call_error::status_of(&error)),
                deployment,
            },
            (error, _) => error,
        }
    }
}

fn lines(errors: &[DeploymentError]) -> String {
    let lines: Vec<_> = errors.iter().map(DeploymentError::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use viridian_client::{CALL_TIMEOUT, ConnectError, ConnectErrorKind};

    use super::*;

    fn file(source: io::Error) -> DeploymentError {
        let file = "cart.yaml".to_owned();
        SettingsFileError::Read { file, source }.into()
    }

    fn unreachable(kind: ConnectErrorKind, reason: &str) -> CallError {
        CallError::Connect(ConnectError {
            server: Some("http://127.0.0.1:1".to_owned()),
            kind,
            reason: reason.to_owned(),
        })
    }

    #[test]
    fn each_error_is_a_sentence() {
        let errors: Vec<DeploymentError> = vec![
            unreachable(ConnectErrorKind::Refused, "Connection refused").into(),
            unreachable(ConnectErrorKind::Tls, "invalid peer certificate").into(),
            unreachable(ConnectErrorKind::TlsFiles, "no certificate found").into(),
            CallError::Interrupted {
                reason: "connection reset".to_owned(),
            }
            .into(),
            CallError::Timeout {
                limit: CALL_TIMEOUT,
            }
            .into(),
            MixedStrategiesError.into(),
            file(io::ErrorKind::NotFound.into()),
            SettingsFileError::Empty {
                file: "cart.yaml".to_owned(),
            }
            .into(),
            SettingsFileError::Yaml {
                file: "cart.yaml".to_owned(),
                line: 3,
                reason: "did not find expected node content".to_owned(),
            }
            .into(),
            DeploymentError::OneRequestId,
            DeploymentError::NothingNamed,
            DeploymentError::EmptyReply,
            DeploymentError::NotReached {
                deployment: "shop/cart".to_owned(),
                goal: "ready".to_owned(),
                reason: "timed out after 5s".to_owned(),
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
