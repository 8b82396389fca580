//! Messages and exit codes of failed calls.

use tonic::Status;
use viridian_client::{CallError, ConnectError, ConnectErrorKind};

use crate::{exit_code, rpc_error};

/// What happened, and what to check.
pub(crate) fn describe(error: &CallError) -> String {
    match error {
        CallError::Connect(error) => format!("{error}; {}", check(error)),
        CallError::Interrupted { .. } => {
            format!("{error}; the call may have been executed: check before you repeat it")
        }
        CallError::Timeout { .. } => rpc_error::describe(&status_of(error)),
        CallError::Refused(status) => rpc_error::describe(status),
    }
}

/// 64 + the number of the gRPC code. A server that cannot be reached, or is lost before
/// its reply, counts as UNAVAILABLE.
pub(crate) fn exit_code_of(error: &CallError) -> u8 {
    exit_code::of_grpc(error.code())
}

/// The failure as a status, as the server would have sent it.
pub(crate) fn status_of(error: &CallError) -> Status {
    match error {
        CallError::Refused(status) => status.clone(),
        // A connection that failed or was lost has no status of the server.
        _ => Status::new(error.code(), error.to_string()),
    }
}

fn check(error: &ConnectError) -> &'static str {
    match error.kind {
        ConnectErrorKind::Tls => "is its certificate from a CA that is trusted here? (--tls-ca)",
        ConnectErrorKind::TlsFiles => "check --tls-ca, --tls-cert and --tls-key",
        _ => "is a server running at this address? (--server, VIRIDIAN_SERVER)",
    }
}

#[cfg(test)]
mod tests {
    use viridian_client::ServerTarget;

    use super::*;

    #[tokio::test]
    async fn a_server_that_is_away_is_exit_code_78() {
        // Port 1 of loopback: nothing listens there.
        let target = ServerTarget::new("http://127.0.0.1:1").expect("a URL");
        let error = target.connect().await.expect_err("nothing listens");
        assert_eq!(error.kind, ConnectErrorKind::Refused);
        let error = CallError::from(error);
        assert_eq!(exit_code_of(&error), 78);
        let line = describe(&error);
        assert!(
            line.starts_with("cannot reach the server at http://127.0.0.1:1: "),
            "{line}"
        );
        assert!(line.ends_with("(--server, VIRIDIAN_SERVER)"), "{line}");
    }
}
