//! The flags of `viridian serve` for credentials and TLS.

use std::path::PathBuf;

use clap::Args;
use viridian_server::TlsFiles;

/// The flags of `viridian serve` for credentials and TLS.
#[derive(Debug, Args)]
#[command(next_help_heading = "Security")]
pub(crate) struct SecurityArgs {
    /// Credentials file: who may call, with which role, for which projects.
    ///
    /// `viridian token` makes entries for it; docs/security.md has the format. The
    /// server reads the file again when it changes. Without it the server listens on
    /// loopback only, and accepts every caller.
    #[arg(long, env = "VIRIDIAN_TOKENS", value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// Certificate of the server with its intermediates, in PEM. Turns TLS on.
    ///
    /// The server reads the file again when it changes. Goes with --tls-key.
    #[arg(long, env = "VIRIDIAN_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// Private key of the server's certificate, in PEM. Read again when it changes.
    #[arg(long, env = "VIRIDIAN_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// CAs of client certificates, in PEM: callers may then authenticate with a
    /// certificate.
    ///
    /// Needs --tokens, which names the certificates that are accepted. The server
    /// reads the file again when it changes.
    #[arg(long, env = "VIRIDIAN_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// Folder of the secrets that revisions name: FOLDER/PROJECT/SECRET/KEY is a value.
    ///
    /// Only agents are given the values, with the replicas that need them. The server
    /// reads the files at each use. Every server of a database needs the same folder.
    #[arg(long, env = "VIRIDIAN_SECRETS", value_name = "FOLDER")]
    pub(crate) secrets: Option<PathBuf>,
}

/// TLS flags that are missing their counterpart.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecurityError {
    #[error("--tls-cert and --tls-key must be given together; --tls-client-ca needs both")]
    Incomplete,
}

impl SecurityArgs {
    /// The TLS files, or none if TLS is off.
    pub(crate) fn tls(&self) -> Result<Option<TlsFiles>, SecurityError> {
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (None, None, None) => Ok(None),
            (Some(cert), Some(key), client_ca) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
            })),
            _ => Err(SecurityError::Incomplete),
        }
    }
}
