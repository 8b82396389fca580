//! The flags of commands that call a server: its address, and the caller's credentials.

use std::{convert::Infallible, fmt, path::PathBuf, str::FromStr};

use clap::{Args, builder::BoolishValueParser};
use viridian_client::{
    CallCredentials, ClientIdentityFiles, ClientTlsError, ClientTlsFiles, MalformedToken,
    ServerTarget, UrlError, normalize_url,
};

/// The flags of commands that call a server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// Address of the server: https://HOST:PORT or http://HOST:PORT [default:
    /// http://127.0.0.1:50051].
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_SERVER",
        value_name = "URL",
        value_parser = normalize_url
    )]
    server: Option<String>,
    /// Bearer token for the server.
    ///
    /// Prefer the environment variable: other users of this machine can read a command
    /// line.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_TOKEN",
        value_name = "TOKEN",
        hide_env_values = true
    )]
    token: Option<SecretText>,
    /// Send the token to another machine without encryption (http://).
    ///
    /// Only for networks in which every machine is trusted.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_TOKEN_IN_CLEAR",
        value_parser = BoolishValueParser::new()
    )]
    token_in_clear: bool,
    /// CAs of the server's certificate, in PEM [default: the CAs that this machine
    /// trusts].
    #[arg(long, global = true, env = "VIRIDIAN_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Client certificate, in PEM, for servers that accept certificates instead of
    /// tokens.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_CLIENT_CERT",
        value_name = "FILE",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// Private key of the client certificate, in PEM.
    #[arg(
        long,
        global = true,
        env = "VIRIDIAN_CLIENT_KEY",
        value_name = "FILE",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
}

/// A text that no output may contain: its Debug form hides it.
#[derive(Clone)]
struct SecretText(String);

/// Flags with which a server cannot be called.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error(transparent)]
    Url(#[from] UrlError),
    #[error(transparent)]
    Token(#[from] MalformedToken),
    #[error(
        "the token would be sent to {host} without encryption: use https://, or allow it by \
         --token-in-clear"
    )]
    InClear { host: String },
    #[error(
        "an agent runs what the server says, and anyone on the way to {host} could say it: use \
         https://, or allow it by --insecure"
    )]
    CommandsInClear { host: String },
    #[error("--tls-ca, --tls-cert and --tls-key need a server at https://")]
    TlsWithoutHttps,
    #[error(transparent)]
    Tls(ClientTlsError),
}

impl From<ClientTlsError> for ServerError {
    fn from(error: ClientTlsError) -> Self {
        match error {
            ClientTlsError::PlainUrl => Self::TlsWithoutHttps,
            error => Self::Tls(error),
        }
    }
}

impl ServerArgs {
    /// The same for an agent, which runs what the server says: without encryption only on this
    /// machine, unless that is allowed. That allows the token as well.
    pub(crate) fn agent_target(&self, insecure: bool) -> Result<ServerTarget, ServerError> {
        let target = self.any_target()?;
        if target.crosses_in_clear() && !insecure {
            let host = target.host().to_owned();
            return Err(ServerError::CommandsInClear { host });
        }
        Ok(target)
    }

    /// The server and the credentials that the flags name.
    pub(crate) fn target(&self) -> Result<ServerTarget, ServerError> {
        let target = self.any_target()?;
        if target.exposes_token() && !self.token_in_clear {
            let host = target.host().to_owned();
            return Err(ServerError::InClear { host });
        }
        Ok(target)
    }

    fn any_target(&self) -> Result<ServerTarget, ServerError> {
        let credentials = match &self.token {
            Some(SecretText(token)) => CallCredentials::bearer(token)?,
            None => CallCredentials::anonymous(),
        };
        let server = self.server.as_deref().unwrap_or(DEFAULT_SERVER);
        let target = ServerTarget::new(server)?.with_tls(self.tls_files())?;
        Ok(target.with_credentials(credentials))
    }

    /// Whether a server is named, by the flag or in the environment.
    pub(crate) fn is_named(&self) -> bool {
        self.server.is_some()
    }

    fn tls_files(&self) -> ClientTlsFiles {
        // clap requires both or neither.
        let identity = self.tls_cert.clone().zip(self.tls_key.clone());
        ClientTlsFiles {
            ca: self.tls_ca.clone(),
            identity: identity.map(|(cert, key)| ClientIdentityFiles { cert, key }),
        }
    }
}

impl FromStr for SecretText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}

const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        server: ServerArgs,
    }

    fn flags(line: &str) -> ServerArgs {
        let words = ["viridian"].into_iter().chain(line.split(' '));
        Flags::try_parse_from(words).expect("the flags").server
    }

    #[test]
    fn without_encryption_a_token_goes_to_this_machine_only() {
        for host in ["localhost:1", "127.0.0.1:1", "127.1.2.3:1", "[::1]:1"] {
            flags(&format!("--token t --server {host}"))
                .target()
                .expect(host);
        }
        for host in [
            "example.org:1",
            "10.0.0.1:1",
            "[::2]:1",
            "localhost.example.org:1",
        ] {
            let line = format!("--token t --server {host}");
            let error = flags(&line).target().expect_err(host);
            assert!(matches!(error, ServerError::InClear { .. }), "{error}");
            flags(&format!("{line} --token-in-clear"))
                .target()
                .expect(host);
            flags(&format!("--server {host}")).target().expect(host);
        }
        flags("--token t --server https://example.org")
            .target()
            .expect("it is encrypted");
    }

    #[test]
    fn g14_an_agent_takes_no_commands_in_clear_from_another_machine() {
        for server in [
            "localhost:1",
            "127.0.0.1:1",
            "[::1]:1",
            "https://example.org",
        ] {
            for token in ["", " --token t"] {
                let flags = flags(&format!("--server {server}{token}"));
                flags.agent_target(false).expect(server);
            }
        }
        for server in ["example.org:1", "http://10.0.0.1:1", "[::2]:1"] {
            for token in ["", " --token t", " --token t --token-in-clear"] {
                let flags = flags(&format!("--server {server}{token}"));
                let error = flags.agent_target(false).expect_err(server);
                assert!(
                    matches!(error, ServerError::CommandsInClear { .. }),
                    "{error}"
                );
                flags.agent_target(true).expect(server);
            }
        }
    }

    #[test]
    fn tls_is_for_https() {
        let error = flags("--tls-ca ca.pem")
            .target()
            .expect_err("it is in vain");
        assert!(matches!(error, ServerError::TlsWithoutHttps), "{error}");
        let missing = flags("--server https://a.org --tls-ca missing/ca.pem");
        let error = missing.target().expect_err("it is not there").to_string();
        assert!(error.contains("missing/ca.pem"), "{error}");
    }

    #[test]
    fn no_token_is_shown() {
        let flags = flags("--token vrd_secret");
        let shown = format!("{flags:?} {:?}", flags.target().expect("a token"));
        assert!(!shown.contains("secret"), "{shown}");
        let flags = Flags::try_parse_from(["viridian", "--token", "vrd secret"]);
        let error = flags.expect("it is looked at later").server.target();
        let error = error.expect_err("two words").to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}
