//! TLS to PostgreSQL, by two options of its URL, `sslmode` and `sslrootcert`. They mean what
//! they mean to libpq.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

/// How the server has to prove its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SslVerification {
    /// No TLS.
    Disable,
    /// TLS if the server offers it, without verification.
    #[default]
    Prefer,
    /// TLS without verification. With roots, the same as [`SslVerification::VerifyCa`].
    Require,
    /// TLS with a certificate that a root has signed.
    VerifyCa,
    /// The same, and the certificate must name the host of the URL.
    VerifyFull,
}

/// The TLS options of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsOptions {
    pub(crate) mode: SslVerification,
    /// A PEM file with the root certificates; the platform's roots if there is none.
    pub(crate) roots: Option<PathBuf>,
}

impl FromStr for SslVerification {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(
                "sslmode is one of disable, prefer, require, verify-ca and verify-full".to_owned(),
            ),
        }
    }
}

impl TlsOptions {
    /// Returns whether tokio-postgres asks for TLS, and whether it continues without.
    pub(crate) fn negotiation(&self) -> SslMode {
        match self.mode {
            SslVerification::Disable => SslMode::Disable,
            SslVerification::Prefer => SslMode::Prefer,
            SslVerification::Require | SslVerification::VerifyCa | SslVerification::VerifyFull => {
                SslMode::Require
            }
        }
    }

    /// Returns the connector, with the roots loaded.
    pub(crate) fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let provider = Arc::new(ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            // rustls itself always verifies the name too, which most values of `sslmode` do not ask
            // for.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        Ok(MakeRustlsConnect::new(config))
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, String> {
        let roots = match (self.mode, &self.roots) {
            (SslVerification::Disable | SslVerification::Prefer, _)
            | (SslVerification::Require, None) => None,
            (SslVerification::Require | SslVerification::VerifyCa, _) => Some(self.load_roots()?),
            (SslVerification::VerifyFull, _) => {
                let roots = Arc::new(self.load_roots()?);
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider));
                return Ok(verifier.build().map_err(|error| error.to_string())?);
            }
        };
        let provider = Arc::clone(provider);
        Ok(Arc::new(AnyNameVerifier { roots, provider }))
    }

    fn load_roots(&self) -> Result<RootCertStore, String> {
        let mut store = RootCertStore::empty();
        let Some(path) = &self.roots else {
            let found = rustls_native_certs::load_native_certs();
            // One bad certificate of the system's is left out. Only none at all is an error.
            store.add_parsable_certificates(found.certs);
            return if store.is_empty() {
                Err("this machine has no root certificates; say which by sslrootcert".to_owned())
            } else {
                Ok(store)
            };
        };
        let unusable = |why: &dyn fmt::Display| format!("sslrootcert {}: {why}", path.display());
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| unusable(&error))?;
            store.add(certificate).map_err(|error| unusable(&error))?;
        }
        if store.is_empty() {
            return Err(unusable(&"it has no certificate"));
        }
        Ok(store)
    }
}

/// Accepts a certificate for any name. With roots, one of them must have signed it. In any case
/// the server proves that it has the certificate's key.
#[derive(Debug)]
struct AnyNameVerifier {
    roots: Option<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyNameVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(certificate)?,
                roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
