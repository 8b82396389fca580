//! Messages and exit codes of failed calls.

use tonic::Status;
use viridian_client::{CallError, ConnectError, ConnectErrorKind};

use crate::{exit_code, rpc_error};

/// What happened to a call that changes something, and what to check.
pub(crate) fn describe(error: &CallError) -> String {
    match error {
        CallError::Interrupted { .. } | CallError::Timeout { .. } => {
            format!("{error}; the call may have been executed: check before you repeat it")
        }
        error => describe_read(error),
    }
}

/// What happened to a call that only reads, and what to check.
pub(crate) fn describe_read(error: &CallError) -> String {
    match error {
        CallError::Connect(error) => format!("{error}; {}", check(error)),
        CallError::Interrupted { .. } => {
            format!("{error}; is it a Viridian server? ({SERVER_FLAGS})")
        }
        CallError::Timeout { .. } => format!("{error}; try again"),
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

fn check(error: &ConnectError) -> String {
    let advice = match error.kind {
        ConnectErrorKind::PlainServer => "the server does not use TLS: write http:// instead",
        ConnectErrorKind::TlsServer => "the server uses TLS: write https:// instead",
        ConnectErrorKind::UnknownIssuer => {
            return "no CA that is trusted here has signed its certificate: name the CA's file by \
                    --tls-ca or VIRIDIAN_TLS_CA"
                .to_owned();
        }
        ConnectErrorKind::WrongName => "use a name that is in the server's certificate",
        ConnectErrorKind::Expired => {
            return "the server's certificate is not valid now: it needs a new one, or a clock is \
                    wrong"
                .to_owned();
        }
        ConnectErrorKind::CertificateRequired => {
            return "the server asks for a client certificate: --tls-cert and --tls-key".to_owned();
        }
        ConnectErrorKind::Tls => {
            return "is its certificate from a CA that is trusted here? (--tls-ca)".to_owned();
        }
        ConnectErrorKind::TlsFiles => return "check --tls-ca, --tls-cert and --tls-key".to_owned(),
        ConnectErrorKind::NameResolution => "check the name of the host",
        ConnectErrorKind::TimedOut => "is the host up, and the port open in its firewall?",
        _ => "is a server running at this address?",
    };
    format!("{advice} ({SERVER_FLAGS})")
}

/// Where the address of the server is set.
const SERVER_FLAGS: &str = "--server, VIRIDIAN_SERVER";

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
