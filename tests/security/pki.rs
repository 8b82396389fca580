//! Certificate authorities, and certificates of them.

use std::{fs, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity};

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
pub(crate) struct KeyCertPair {
    pub(crate) cert: String,
    pub(crate) key: String,
}

/// Files in a folder, which is gone when it is dropped.
pub(crate) struct Files(TempDir);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn certificate(&self) -> Certificate {
        Certificate::from_pem(self.pem())
    }

    /// For a server on loopback.
    pub(crate) fn server(&self) -> KeyCertPair {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![
            SanType::IpAddress([127, 0, 0, 1].into()),
            SanType::DnsName("localhost".try_into().expect("ASCII")),
        ];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// For a client of that name, as the file of credentials writes it.
    pub(crate) fn client(&self, san: &str) -> KeyCertPair {
        self.sign(client(san))
    }

    /// One that is not valid any more.
    pub(crate) fn expired(&self, san: &str) -> KeyCertPair {
        let mut params = client(san);
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> KeyCertPair {
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("a certificate");
        KeyCertPair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }
}

impl KeyCertPair {
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_pem(&self.cert, &self.key)
    }
}

impl Files {
    pub(crate) fn create() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// Writes a file, and gives where it is.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    }
}

fn client(san: &str) -> CertificateParams {
    let (kind, name) = san.split_once(':').expect("KIND:NAME");
    let name = name.try_into().expect("ASCII");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![match kind {
        "dns" => SanType::DnsName(name),
        "uri" => SanType::URI(name),
        "email" => SanType::Rfc822Name(name),
        _ => panic!("no such kind: {kind}"),
    }];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}
