//! Calls to a server.

use std::{error::Error as StdError, time::Duration};

use tonic::{
    Code, Response, Status,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::{exit_code, output::OutputError, rpc_error, server::ServerError};

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error(
        "cannot reach the server at {server}: {reason}; is it running, and is that where? --server \
         or VIRIDIAN_SERVER names another"
    )]
    Unreachable { server: String, reason: String },
    #[error(
        "the connection to the server broke: {reason}; it may have been done: look before you \
         repeat it"
    )]
    Broken { reason: String },
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("{}", rpc_error::describe(.0))]
    Refused(#[from] Status),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl CallError {
    /// 64 and the number of the gRPC code; a server that cannot be reached, or does
    /// not stay so until it has answered, is UNAVAILABLE.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } => exit_code::of_grpc(Code::Unavailable),
            Self::Server(_) => exit_code::USAGE,
            Self::Refused(status) => exit_code::of_grpc(status.code()),
            Self::Output(_) => exit_code::FAILURE,
        }
    }
}

/// Connects, so that a server that is away is known before anything is asked.
pub(crate) async fn connect(
    server: &str,
    tls: Option<ClientTlsConfig>,
) -> Result<Channel, CallError> {
    let unreachable = |error: tonic::transport::Error| CallError::Unreachable {
        server: server.to_owned(),
        reason: innermost(&error),
    };
    let mut endpoint = Endpoint::from_shared(server.to_owned()).map_err(unreachable)?;
    if let Some(tls) = tls {
        endpoint = endpoint.tls_config(tls).map_err(unreachable)?;
    }
    endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .connect()
        .await
        .map_err(unreachable)
}

/// The reply of one call, or DEADLINE_EXCEEDED when none comes.
pub(crate) async fn answer<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(reply)) => Ok(reply.into_inner()),
        Ok(Err(status)) => Err(match status.source() {
            Some(error) if error.is::<tonic::transport::Error>() => CallError::Broken {
                reason: innermost(error),
            },
            _ => CallError::Refused(status),
        }),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} s",
            CALL_TIMEOUT.as_secs()
        )))?,
    }
}

/// What lies at the bottom, which says most: "Connection refused".
fn innermost(error: &dyn StdError) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::{CallError, connect};

    #[tokio::test]
    async fn a_server_that_is_away_is_exit_code_78() {
        // Port 1 of loopback: nothing listens there.
        let error = connect("http://127.0.0.1:1", None)
            .await
            .expect_err("nobody is there");
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
        assert_eq!(error.exit_code(), 78);
        let line = error.to_string();
        assert!(
            line.starts_with("cannot reach the server at http://127.0.0.1:1: "),
            "{line}"
        );
    }
}
