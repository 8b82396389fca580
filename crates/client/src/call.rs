use std::{error::Error as _, time::Duration};

use tonic::{Code, ConnectError as TonicConnectError, Response, Status};
use tonic_types::StatusExt as _;

use crate::{
    ConnectError, ConnectErrorKind,
    connect::{chain, innermost},
};

/// A call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// There was no connection. The server has not seen the call.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke before the reply. The call may have been executed.
    #[error("the connection to the server broke: {reason}")]
    Interrupted {
        /// The innermost cause.
        reason: String,
    },
    /// No reply in time. The call may have been executed.
    #[error("no answer within {} s", limit.as_secs())]
    Timeout {
        /// How long the reply was awaited.
        limit: Duration,
    },
    /// The server replied with an error.
    #[error("{}: {}", .0.code(), .0.message())]
    Refused(Status),
}

impl From<Status> for CallError {
    /// Separates errors that the server sent from errors of the connection.
    fn from(status: Status) -> Self {
        let Some(cause) = status.source() else {
            // Only a status that came over the wire has no cause of its own.
            return Self::Refused(status);
        };
        if chain(cause).any(|cause| cause.is::<TonicConnectError>()) {
            return Self::Connect(ConnectError::classify(cause));
        }
        // With TLS 1.3 the server refuses a client without a certificate after the
        // client's side of the handshake: by the first call, which it has not seen.
        let error = ConnectError::classify(cause);
        if error.kind == ConnectErrorKind::CertificateRequired {
            return Self::Connect(error);
        }
        Self::Interrupted {
            reason: innermost(cause),
        }
    }
}

impl CallError {
    /// The gRPC code: UNAVAILABLE where the server cannot be reached or was lost.
    pub fn code(&self) -> Code {
        match self {
            Self::Connect(_) | Self::Interrupted { .. } => Code::Unavailable,
            Self::Timeout { .. } => Code::DeadlineExceeded,
            Self::Refused(status) => status.code(),
        }
    }

    /// The reason that the server gave, in UPPER_SNAKE_CASE, such as
    /// `RESUME_TOKEN_EXPIRED`.
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Refused(status) => Some(status.get_details_error_info()?.reason),
            _ => None,
        }
    }

    /// After which time the server asks to try again.
    pub fn retry_delay(&self) -> Option<Duration> {
        match self {
            Self::Refused(status) => status.get_details_retry_info()?.retry_delay,
            _ => None,
        }
    }

    /// Returns whether the same call may succeed later without a change of anything:
    /// the server is away, stops, is overloaded, or ended a stream that was too slow.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Interrupted { .. } | Self::Timeout { .. } => true,
            Self::Refused(status) => match status.code() {
                // A quota is no overload: it stays until something is deleted or the quota is raised.
                Code::ResourceExhausted => self.reason().as_deref() != Some(QUOTA_EXCEEDED),
                Code::Unavailable => true,
                // With a reason these are the server's verdict. Without one they come
                // from a proxy, or from a connection that broke.
                Code::Unknown | Code::Internal | Code::Cancelled => self.reason().is_none(),
                _ => false,
            },
        }
    }
}

/// Awaits the reply to a call for at most [`CALL_TIMEOUT`].
///
/// # Errors
///
/// When there is no reply, or it is a refusal.
pub async fn unary<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    unary_within(CALL_TIMEOUT, call).await
}

/// Awaits the reply to a call for at most this time.
///
/// # Errors
///
/// When there is no reply, or it is a refusal.
pub async fn unary_within<T>(
    limit: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(reply) => Ok(reply?.into_inner()),
        Err(_) => Err(CallError::Timeout { limit }),
    }
}

/// The reason of calls that a quota refuses.
const QUOTA_EXCEEDED: &str = "QUOTA_EXCEEDED";

/// How long [`unary`] awaits a reply: 30 s.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn only_what_passes_by_itself_is_transient() {
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Unknown] {
            let error = CallError::from(Status::new(code, ""));
            assert!(error.is_transient(), "{code:?}");
        }
        for code in [Code::OutOfRange, Code::NotFound, Code::Unauthenticated] {
            let error = CallError::from(Status::new(code, ""));
            assert!(!error.is_transient(), "{code:?}");
        }
        let details = ErrorDetails::with_error_info("INTERNAL", "viridian", []);
        let internal = Status::with_error_details(Code::Internal, "", details);
        assert!(
            !CallError::from(internal).is_transient(),
            "the server said so"
        );
    }

    #[test]
    fn a_refusal_says_its_reason_and_when_to_try_again() {
        let second = Duration::from_secs(1);
        let mut details = ErrorDetails::with_retry_info(Some(second));
        details.set_error_info("TOO_MANY_CALLS", "viridian", []);
        let status = Status::with_error_details(Code::ResourceExhausted, "", details);
        let error = CallError::from(status);
        assert_eq!(error.reason().as_deref(), Some("TOO_MANY_CALLS"));
        assert_eq!(error.retry_delay(), Some(second));
        let bare = CallError::from(Status::unavailable(""));
        assert_eq!((bare.reason(), bare.retry_delay()), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn no_reply_is_a_timeout() {
        let never = std::future::pending::<Result<Response<()>, Status>>();
        let error = unary(never).await.expect_err("no reply");
        assert_eq!(error.to_string(), "no answer within 30 s");
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.is_transient());
    }
}
