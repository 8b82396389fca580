//! TLS: the server's certificate, and the CAs of client certificates.

use std::{path::PathBuf, sync::Arc};

use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
};
use viridian_strategy::Timestamp;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, time::ASN1Time};

use crate::reload;

/// The files of TLS, in PEM. Changes apply to new connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and the intermediate ones.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CAs of client certificates. None: client certificates are not asked for.
    pub client_ca: Option<PathBuf>,
}

/// When a certificate is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateValidity {
    /// The file it is in.
    pub file: PathBuf,
    /// Not before this.
    pub begins: Timestamp,
    /// Not after this.
    pub ends: Timestamp,
}

impl TlsFiles {
    /// Reads the files like a server does, and gives the validity of each certificate.
    ///
    /// # Errors
    ///
    /// A sentence with the file, and no secret.
    pub fn inspect(&self) -> Result<Vec<CertificateValidity>, String> {
        let contents = reload::read(&self.paths())?;
        self.parse(&contents)?;
        let mut validities = Vec::new();
        for (path, pem) in self.paths().iter().zip(&contents) {
            if *path == self.key {
                continue;
            }
            for certificate in certificates(pem, path)? {
                let (_, parsed) = X509Certificate::from_der(&certificate)
                    .map_err(|error| format!("{} has no certificate: {error}", path.display()))?;
                let seconds = |time: ASN1Time| {
                    Timestamp::from_micros(time.timestamp().saturating_mul(1_000_000))
                };
                validities.push(CertificateValidity {
                    file: path.clone(),
                    begins: seconds(parsed.validity().not_before),
                    ends: seconds(parsed.validity().not_after),
                });
            }
        }
        Ok(validities)
    }

    /// In the order in which [`TlsFiles::parse`] takes them.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let mut paths = vec![self.cert.clone(), self.key.clone()];
        paths.extend(self.client_ca.clone());
        paths
    }

    /// Makes the configuration of new connections of the files' contents.
    pub(crate) fn parse(&self, contents: &[Vec<u8>]) -> Result<ServerConfig, String> {
        let [cert, key, client_ca @ ..] = contents else {
            return Err("a file is missing".to_owned());
        };
        let chain = certificates(cert, &self.cert)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| format!("{} has no private key: {error}", self.key.display()))?;
        // Named here: the default of the process panics when the crates in it enable two providers.
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match (client_ca, &self.client_ca) {
            ([pem], Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, path)? {
                    roots.add(certificate).map_err(|error| {
                        format!("{} has no CA certificate: {error}", path.display())
                    })?;
                }
                // A caller without a certificate may show a token.
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .allow_unauthenticated()
                        .build()
                        .map_err(|error| error.to_string())?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            format!(
                "{} and {} do not fit: {error}",
                self.cert.display(),
                self.key.display()
            )
        })?;
        // Clients of gRPC refuse a connection on which h2 was not negotiated.
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Without resumption a certificate is verified for each connection. A resumed
        // session would outlive the removal of its CA.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn certificates(
    pem: &[u8],
    path: &std::path::Path,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{} has no certificate", path.display())),
        Err(error) => Err(format!("{} is no PEM file: {error}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pair() -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let cert = params.self_signed(&key).expect("a certificate");
        (cert.pem().into(), key.serialize_pem().into())
    }

    fn files(client_ca: Option<&str>) -> TlsFiles {
        TlsFiles {
            cert: "cert.pem".into(),
            key: "key.pem".into(),
            client_ca: client_ca.map(Into::into),
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_enough() {
        let (cert, key) = pair();
        let config = files(None).parse(&[cert.clone(), key.clone()]);
        assert_eq!(config.expect("they fit").alpn_protocols, [b"h2"]);
        files(Some("ca.pem"))
            .parse(&[cert.clone(), key, cert])
            .expect("a CA too");
    }

    #[test]
    fn what_is_wrong_names_its_file_and_no_secret() {
        let ((cert, key), (other_cert, _)) = (pair(), pair());
        let nothing = b"nothing".to_vec();
        let with_ca = files(Some("ca.pem"));
        for (contents, part) in [
            ([nothing.clone(), key.clone(), cert.clone()], "cert.pem"),
            ([cert.clone(), nothing.clone(), cert.clone()], "key.pem"),
            ([cert.clone(), cert.clone(), cert.clone()], "key.pem"),
            (
                [other_cert, key.clone(), cert.clone()],
                "cert.pem and key.pem",
            ),
            ([cert, key.clone(), nothing], "ca.pem"),
        ] {
            let error = with_ca.parse(&contents).expect_err(part);
            assert!(error.contains(part), "{error}");
            let secret = String::from_utf8_lossy(&key);
            let line = secret.lines().nth(1).expect("a line of the key");
            assert!(!error.contains(line), "{error}");
        }
    }
}
