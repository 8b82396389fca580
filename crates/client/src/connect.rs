use std::{error::Error as StdError, io, time::Duration};

use tonic::{
    service::interceptor::InterceptedService,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use crate::{CallCredentials, ServerTarget, tls::ClientTlsError};

/// A connection that shows credentials with each call. Cheap to clone: the clones
/// share the connection. It connects again by itself when the connection is lost.
pub type AuthChannel = InterceptedService<Channel, CallCredentials>;

/// There is no connection to the server, and the server has seen nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot reach the server{}: {reason}", at(server))]
pub struct ConnectError {
    /// The server's URL; `None` where an [`AuthChannel`] tried to connect again.
    pub server: Option<String>,
    /// What stands in the way.
    pub kind: ConnectErrorKind,
    /// The innermost cause, such as `Connection refused (os error 111)`.
    pub reason: String,
}

/// What stands in the way of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectErrorKind {
    /// Nothing listens at the address.
    Refused,
    /// No connection within 5 s: the host is down, or a firewall drops packets.
    TimedOut,
    /// The host's name has no address.
    NameResolution,
    /// The TLS handshake failed, for another reason than those below.
    Tls,
    /// No CA that is trusted here has signed the server's certificate.
    UnknownIssuer,
    /// The server's certificate is for another name.
    WrongName,
    /// The server's certificate has expired, or is not valid yet.
    Expired,
    /// The server asks for a client certificate.
    CertificateRequired,
    /// The URL is `https://`, and the server does not use TLS.
    PlainServer,
    /// The URL is `http://`, and the server uses TLS.
    TlsServer,
    /// The client's own TLS files cannot be used.
    TlsFiles,
    /// Anything else.
    Other,
}

impl ServerTarget {
    /// Connects now.
    ///
    /// # Errors
    ///
    /// When there is no connection within 5 s.
    pub async fn connect(&self) -> Result<AuthChannel, ConnectError> {
        let endpoint = self.endpoint()?;
        let channel = endpoint.connect().await;
        Ok(self.authenticate(channel.map_err(|error| self.error(&error))?))
    }

    /// Returns a channel that connects at its first call.
    ///
    /// # Errors
    ///
    /// When the TLS files cannot be used. That the server is away is the error of
    /// the calls.
    pub fn connect_lazy(&self) -> Result<AuthChannel, ConnectError> {
        Ok(self.authenticate(self.endpoint()?.connect_lazy()))
    }

    /// Asks whether the server at an `http://` URL uses TLS, by one connection: then a
    /// call fails with a broken connection, which says nothing of the cause.
    pub async fn uses_tls(&self) -> bool {
        let Some(rest) = self.url().strip_prefix("http://") else {
            return false;
        };
        let endpoint = Endpoint::from_shared(format!("https://{rest}"));
        let tls = ClientTlsConfig::new();
        let Ok(Ok(endpoint)) = endpoint.map(|it| it.tls_config(tls)) else {
            return false;
        };
        match endpoint.connect_timeout(CONNECT_TIMEOUT).connect().await {
            Ok(_) => true,
            // Without a CA every certificate is refused: that there is one is the answer.
            Err(error) => matches!(
                ConnectError::classify(&error).kind,
                ConnectErrorKind::UnknownIssuer
                    | ConnectErrorKind::WrongName
                    | ConnectErrorKind::Expired
                    | ConnectErrorKind::CertificateRequired
            ),
        }
    }

    fn authenticate(&self, channel: Channel) -> AuthChannel {
        InterceptedService::new(channel, self.credentials.clone())
    }

    fn endpoint(&self) -> Result<Endpoint, ConnectError> {
        let mut endpoint =
            Endpoint::from_shared(self.url().to_owned()).map_err(|error| self.error(&error))?;
        if self.is_encrypted() {
            let tls = self.tls.load().map_err(|error| self.tls_error(&error))?;
            let configured = endpoint.tls_config(tls);
            endpoint = configured.map_err(|error| self.tls_error(&error))?;
        }
        // A firewall may drop an idle connection without a word. Without keep-alive it
        // would look open for ever, and its streams would be silent for ever.
        Ok(endpoint
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT))
    }

    fn error(&self, error: &(dyn StdError + 'static)) -> ConnectError {
        ConnectError {
            server: Some(self.url().to_owned()),
            ..ConnectError::classify(error)
        }
    }

    fn tls_error(&self, error: &(dyn StdError + 'static)) -> ConnectError {
        let reason = match error.downcast_ref::<ClientTlsError>() {
            Some(error) => error.to_string(),
            None => innermost(error),
        };
        ConnectError {
            server: Some(self.url().to_owned()),
            kind: ConnectErrorKind::TlsFiles,
            reason,
        }
    }
}

impl ConnectError {
    /// Reads the kind from the causes of an error of the transport.
    pub(crate) fn classify(error: &(dyn StdError + 'static)) -> Self {
        let kind = chain(error).find_map(kind_of);
        Self {
            server: None,
            kind: kind.unwrap_or(ConnectErrorKind::Other),
            reason: innermost(error),
        }
    }
}

fn kind_of(cause: &(dyn StdError + 'static)) -> Option<ConnectErrorKind> {
    if let Some(error) = cause.downcast_ref::<io::Error>() {
        return match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(ConnectErrorKind::Refused),
            io::ErrorKind::TimedOut => Some(ConnectErrorKind::TimedOut),
            // How rustls reports every failure of a handshake.
            io::ErrorKind::InvalidData => Some(tls_kind(&error.to_string())),
            io::ErrorKind::UnexpectedEof if error.to_string() == HANDSHAKE_EOF => {
                Some(ConnectErrorKind::PlainServer)
            }
            _ => None,
        };
    }
    // hyper's error for this is private: its text is all that there is.
    let is_dns = cause.to_string().starts_with("dns error");
    is_dns.then_some(ConnectErrorKind::NameResolution)
}

/// What a failed handshake is about. rustls is not a dependency of this crate: its texts
/// are all that there is.
fn tls_kind(text: &str) -> ConnectErrorKind {
    let is_about = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if is_about(&["UnknownIssuer", "CaUsedAsEndEntity"]) {
        ConnectErrorKind::UnknownIssuer
    } else if is_about(&["NotValidForName", "not valid for name"]) {
        ConnectErrorKind::WrongName
    } else if is_about(&["Expired", "expired", "NotValidYet", "not valid yet"]) {
        ConnectErrorKind::Expired
    } else if is_about(&["CertificateRequired"]) {
        ConnectErrorKind::CertificateRequired
    } else if is_about(&["corrupt message", "InvalidContentType"]) {
        ConnectErrorKind::PlainServer
    } else {
        ConnectErrorKind::Tls
    }
}

/// An error and its causes, outermost first.
pub(crate) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The innermost cause, which says most: "Connection refused".
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().unwrap_or(error).to_string()
}

fn at(server: &Option<String>) -> String {
    server
        .as_ref()
        .map_or_else(String::new, |server| format!(" at {server}"))
}

/// How tokio-rustls says that the server closed the connection instead of a reply.
const HANDSHAKE_EOF: &str = "tls handshake eof";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(15);
