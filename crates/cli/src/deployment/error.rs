//! The failures of `viridian deployment` and `viridian top`.

use std::io;

use tonic::{Code, Status};
use viridian_client::{CallError, ConnectError, ConnectErrorKind, NeededAction};

use super::{
    advice,
    policy::MixedStrategiesError,
    settings::{SettingError, SettingsFileError},
};
use crate::{
    call_error, exit_code,
    output::OutputError,
    server_args::{ServerArgs, ServerError},
    signals::StopSignal,
};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeploymentError {
    #[error("{}", call_error::describe(.0))]
    Call(#[from] CallError),
    /// A call that only reads: nothing can have been changed by it.
    #[error("{}", call_error::describe_read(.0))]
    Read(CallError),
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
    /// Of several deployments in one step, which names those that are in the way.
    #[error("{}", advice::set_sentence(.0))]
    SetRefused(Box<Status>),
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
    #[error(
        "there is no revision yet to take the rest from: say what to run, by --image or by a \
         command after --"
    )]
    NothingToRun,
    #[error(
        "{deployment} is {present}, and {flags} would change its strategy; name the strategy to \
         do so, which resets its other settings: --strategy {wanted}"
    )]
    StrategyNotNamed {
        deployment: String,
        present: &'static str,
        wanted: &'static str,
        flags: String,
    },
    #[error(
        "{} of {deployment} begins or ends with {route}; `viridian deployment routes \
         {deployment}` shows them",
        if *is_ambiguous { "more than one route" } else { "no live route" }
    )]
    RouteNotFound {
        route: String,
        deployment: String,
        is_ambiguous: bool,
    },
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
    /// What there is to say was printed, as the result. Only the exit code remains.
    #[error("shown")]
    Shown { action_needed: bool },
    /// The change is made so far, and was shown.
    #[error("{deployment} {action}{serving}: {command}")]
    ActionNeeded {
        deployment: String,
        action: NeededAction,
        /// What serves meanwhile, as the rest of the sentence.
        serving: String,
        command: String,
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
    /// A code of [`exit_code::TABLE`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Call(error) | Self::Read(error) => call_error::exit_code_of(error),
            Self::Refused { status, .. } | Self::SetRefused(status) => {
                exit_code::of_grpc(status.code())
            }
            Self::Several(errors) => errors
                .first()
                .map_or(exit_code::FAILURE, DeploymentError::exit_code),
            Self::Server(_)
            | Self::Policy(_)
            | Self::Setting(_)
            | Self::File(_)
            | Self::OneRequestId
            | Self::NothingNamed
            | Self::NothingToRun
            | Self::StrategyNotNamed { .. } => exit_code::USAGE,
            Self::Stopped(stop) => stop.code(),
            Self::ActionNeeded { .. }
            | Self::Shown {
                action_needed: true,
            } => exit_code::ACTION_NEEDED,
            Self::Shown {
                action_needed: false,
            } => exit_code::FAILURE,
            Self::Output(_)
            | Self::RouteNotFound { .. }
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
        let (Self::Call(CallError::Refused(status)) | Self::Read(CallError::Refused(status))) =
            self
        else {
            return false;
        };
        status.code() == Code::NotFound
    }

    /// Names the deployment of a refusal, so that its message can advise a command.
    pub(super) fn about(self, deployment: Option<String>) -> Self {
        let status = match &self {
            // A call that timed out may have been executed, and has advice too.
            Self::Call(error @ (CallError::Refused(_) | CallError::Timeout { .. })) => {
                call_error::status_of(error)
            }
            // The advice on a lost time is for calls that change something.
            Self::Read(CallError::Refused(status)) if status.code() != Code::DeadlineExceeded => {
                status.clone()
            }
            _ => return self,
        };
        match deployment {
            Some(deployment) => Self::Refused {
                status: Box::new(status),
                deployment,
            },
            None => self,
        }
    }

    /// Says that the server at an `http://` URL uses TLS, if that is why the connection
    /// broke.
    pub(crate) async fn diagnosed(self, server: &ServerArgs) -> Self {
        let (Self::Call(error) | Self::Read(error)) = &self else {
            return self;
        };
        let may_be_tls = match error {
            CallError::Interrupted { .. } => true,
            CallError::Connect(error) => error.kind == ConnectErrorKind::Other,
            CallError::Timeout { .. } | CallError::Refused(_) => false,
        };
        match server.target() {
            Ok(target) if may_be_tls && target.uses_tls().await => {
                Self::Call(CallError::Connect(ConnectError {
                    server: Some(target.url().to_owned()),
                    kind: ConnectErrorKind::TlsServer,
                    reason: "it answers with TLS".to_owned(),
                }))
            }
            _ => self,
        }
    }
}

fn lines(errors: &[DeploymentError]) -> String {
    let lines: Vec<_> = errors.iter().map(DeploymentError::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use viridian_client::CALL_TIMEOUT;

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
            unreachable(ConnectErrorKind::UnknownIssuer, "UnknownIssuer").into(),
            unreachable(ConnectErrorKind::WrongName, "NotValidForName").into(),
            unreachable(ConnectErrorKind::Expired, "Expired").into(),
            unreachable(ConnectErrorKind::CertificateRequired, "CertificateRequired").into(),
            unreachable(ConnectErrorKind::PlainServer, "corrupt message").into(),
            unreachable(ConnectErrorKind::TlsServer, "it answers with TLS").into(),
            unreachable(ConnectErrorKind::NameResolution, "dns error").into(),
            unreachable(ConnectErrorKind::TimedOut, "timed out").into(),
            unreachable(ConnectErrorKind::TlsFiles, "no certificate found").into(),
            CallError::Interrupted {
                reason: "connection reset".to_owned(),
            }
            .into(),
            CallError::Timeout {
                limit: CALL_TIMEOUT,
            }
            .into(),
            DeploymentError::Read(CallError::Interrupted {
                reason: "connection reset".to_owned(),
            }),
            DeploymentError::Read(CallError::Timeout {
                limit: CALL_TIMEOUT,
            }),
            MixedStrategiesError {
                flags: "--auto-promote".to_owned(),
                strategy: "rolling",
            }
            .into(),
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
            DeploymentError::NothingToRun,
            DeploymentError::StrategyNotNamed {
                deployment: "shop/cart".to_owned(),
                present: "blue-green",
                wanted: "rolling",
                flags: "--max-unavailable".to_owned(),
            },
            DeploymentError::EmptyReply,
            DeploymentError::NotReached {
                deployment: "shop/cart".to_owned(),
                goal: "ready".to_owned(),
                reason: "timed out after 5s".to_owned(),
            },
            DeploymentError::ActionNeeded {
                deployment: "shop/cart".to_owned(),
                action: NeededAction::Promote,
                serving: "; revision 1 serves until then".to_owned(),
                command: "viridian deployment promote shop/cart".to_owned(),
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
