use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tonic::transport::{Certificate, ClientTlsConfig, Identity};

/// Whom a client trusts and which certificate it shows, as PEM files. They are
/// read at every connection, so that a renewed certificate is used without a
/// restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// The CAs that may have signed the server's certificate. Default: those that
    /// this machine trusts.
    pub ca: Option<PathBuf>,
    /// The certificate to show, for servers that ask for one.
    pub identity: Option<ClientIdentityFiles>,
}

/// A client certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentityFiles {
    /// The certificate, and the intermediate ones after it.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// TLS cannot be used as it is configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientTlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files are for `https://`, and the URL is not.
    #[error("TLS files were given for a server that is not at https://")]
    PlainUrl,
}

impl ClientTlsFiles {
    /// Reads the files.
    pub(crate) fn load(&self) -> Result<ClientTlsConfig, ClientTlsError> {
        let mut tls = ClientTlsConfig::new();
        tls = match &self.ca {
            Some(ca) => tls.ca_certificate(Certificate::from_pem(read(ca)?)),
            None => tls.with_native_roots(),
        };
        if let Some(ClientIdentityFiles { cert, key }) = &self.identity {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        Ok(tls)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ClientTlsError> {
    fs::read(file).map_err(|source| ClientTlsError::File {
        file: file.to_owned(),
        source,
    })
}
