//! Client certificates. A certificate stands for its subject alternative names.

use std::fmt;

use serde::Deserialize;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum SubjectAltName {
    /// Of a host, in lower case.
    Dns(String),
    /// For example a SPIFFE id.
    Uri(String),
    /// Of a person.
    Email(String),
}

/// The names in a certificate, which must have been verified.
pub(crate) fn names(certificate: &CertificateDer<'_>) -> Vec<SubjectAltName> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        // The handshake has verified the certificate. Without names it matches no entry.
        return Vec::new();
    };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else {
        return Vec::new();
    };
    let names = extension.value.general_names.iter();
    names.filter_map(SubjectAltName::from_certificate).collect()
}

impl SubjectAltName {
    fn from_certificate(name: &GeneralName<'_>) -> Option<Self> {
        match name {
            GeneralName::DNSName(name) => Some(Self::Dns(name.to_ascii_lowercase())),
            GeneralName::URI(uri) => Some(Self::Uri((*uri).to_owned())),
            GeneralName::RFC822Name(email) => Some(Self::Email((*email).to_owned())),
            _ => None,
        }
    }
}

impl TryFrom<String> for SubjectAltName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRONG: &str = "san must be dns:NAME, uri:URI or email:ADDRESS";
        // At the first colon only: a URI has colons of its own.
        match text.split_once(':') {
            Some((_, "")) => Err(WRONG),
            Some(("dns", name)) => Ok(Self::Dns(name.to_ascii_lowercase())),
            Some(("uri", uri)) => Ok(Self::Uri(uri.to_owned())),
            Some(("email", email)) => Ok(Self::Email(email.to_owned())),
            _ => Err(WRONG),
        }
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Email(email) => write!(f, "email:{email}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    #[test]
    fn a_certificate_is_whom_its_alternative_names_say() {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::DnsName("CI.example.org".try_into().expect("ASCII")),
            SanType::URI("spiffe://example.org/ci".try_into().expect("ASCII")),
            SanType::Rfc822Name("ci@example.org".try_into().expect("ASCII")),
            SanType::IpAddress([127, 0, 0, 1].into()),
        ];
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        assert_eq!(
            names(certificate.der()),
            [
                SubjectAltName::Dns("ci.example.org".to_owned()),
                SubjectAltName::Uri("spiffe://example.org/ci".to_owned()),
                SubjectAltName::Email("ci@example.org".to_owned()),
            ]
        );
    }

    #[test]
    fn a_certificate_without_them_is_nobody() {
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::default().self_signed(&key);
        assert_eq!(names(certificate.expect("a certificate").der()), []);
        assert_eq!(names(&CertificateDer::from(vec![1, 2, 3])), []);
    }

    #[test]
    fn a_name_says_of_which_kind_it_is() {
        for text in [
            "dns:ci.example.org",
            "uri:spiffe://a/b",
            "email:ci@example.org",
        ] {
            let san = SubjectAltName::try_from(text.to_owned()).expect(text);
            assert_eq!(san.to_string(), text);
        }
        for text in ["", "ci.example.org", "dns:", "ip:127.0.0.1", "spiffe://a/b"] {
            SubjectAltName::try_from(text.to_owned()).expect_err(text);
        }
    }
}
