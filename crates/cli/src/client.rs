//! Calls to a server.

use std::{error::Error as StdError, time::Duration};

use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint},
};

use crate::{output::OutputError, rpc_error};

/// Which server to talk to.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ServerArgs {
    /// The server to talk to.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_SERVER",
        value_name = "URL",
        default_value = DEFAULT_SERVER,
        value_parser = parse_server
    )]
    pub(crate) server: String,
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("cannot reach the server at {server}: {reason}")]
    Unreachable { server: String, reason: String },
    #[error("{}", rpc_error::describe(.0))]
    Refused(#[from] Status),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Why a text does not name a server.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("write http://HOST:PORT")]
    Malformed,
    #[error("only http:// can be spoken")]
    Scheme,
}

impl CallError {
    /// 64 and the number of the gRPC code; a server that cannot be reached is
    /// UNAVAILABLE.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Unreachable { .. } => rpc_error::exit_code(&Status::new(Code::Unavailable, "")),
            Self::Refused(status) => rpc_error::exit_code(status),
            Self::Output(_) => 1,
        }
    }
}

/// Connects, so that a server that is away is known before anything is asked.
pub(crate) async fn connect(server: &str) -> Result<Channel, CallError> {
    let unreachable = |error: tonic::transport::Error| CallError::Unreachable {
        server: server.to_owned(),
        reason: innermost(&error),
    };
    Endpoint::from_shared(server.to_owned())
        .map_err(unreachable)?
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
        Ok(reply) => Ok(reply?.into_inner()),
        Err(_) => Err(Status::deadline_exceeded(format!(
            "no answer within {} s",
            CALL_TIMEOUT.as_secs()
        )))?,
    }
}

/// Reads the URL of a server; `HOST:PORT` will do.
pub(crate) fn parse_server(text: &str) -> Result<String, ServerError> {
    let url = match text.split_once("://") {
        None => format!("http://{text}"),
        Some(("http", _)) => text.to_owned(),
        Some(_) => return Err(ServerError::Scheme),
    };
    let endpoint = Endpoint::from_shared(url.clone()).map_err(|_| ServerError::Malformed)?;
    match endpoint.uri().host() {
        Some(host) if !host.is_empty() => Ok(url),
        _ => Err(ServerError::Malformed),
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

const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::{CallError, ServerError, connect, parse_server};

    #[test]
    fn a_server_is_a_url_or_host_and_port() {
        assert_eq!(
            parse_server("localhost:1").as_deref(),
            Ok("http://localhost:1")
        );
        assert_eq!(
            parse_server("http://[::1]:1").as_deref(),
            Ok("http://[::1]:1")
        );
        assert_eq!(
            parse_server("https://example.org"),
            Err(ServerError::Scheme)
        );
        assert_eq!(parse_server("http://"), Err(ServerError::Malformed));
        assert_eq!(parse_server("two words"), Err(ServerError::Malformed));
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_exit_code_78() {
        // Port 1 of loopback: nothing listens there.
        let error = connect("http://127.0.0.1:1")
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
