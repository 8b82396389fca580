//! Who may call the server, and what is encrypted.

use std::path::PathBuf;

use clap::Args;
use viridian_server::TlsFiles;

/// The flags of `viridian serve` about it.
#[derive(Debug, Args)]
pub(crate) struct SecurityArgs {
    /// The file that says who may call. Read again when it changes.
    #[arg(long, env = "VIRIDIAN_TOKENS", value_name = "FILE")]
    pub(crate) tokens: Option<PathBuf>,
    /// The server's certificate, in PEM. Read again when it changes.
    #[arg(long, env = "VIRIDIAN_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of the server's certificate, in PEM. Read again when it changes.
    #[arg(long, env = "VIRIDIAN_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The CAs whose certificates callers may show, in PEM. Read again when it
    /// changes.
    #[arg(long, env = "VIRIDIAN_TLS_CLIENT_CA", value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
}

/// Why the flags do not go together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecurityError {
    #[error("--tls-cert and --tls-key go together, and --tls-client-ca goes with them")]
    Apart,
}

impl SecurityArgs {
    /// The files of TLS, if it is wanted.
    pub(crate) fn tls(&self) -> Result<Option<TlsFiles>, SecurityError> {
        match (&self.tls_cert, &self.tls_key, &self.tls_client_ca) {
            (None, None, None) => Ok(None),
            (Some(cert), Some(key), client_ca) => Ok(Some(TlsFiles {
                cert: cert.clone(),
                key: key.clone(),
                client_ca: client_ca.clone(),
            })),
            _ => Err(SecurityError::Apart),
        }
    }
}
