//! The configuration of a server.

use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

use thiserror::Error;
use viridian_feeds::WatchLimits;
use viridian_store::{LimitError, Limits, OpenError, Retention};
use viridian_strategy::ProjectQuota;

use crate::{
    coordinator::CoordinatorLimits,
    layers::{GrpcWeb, HostRule, PageRules},
    rpc_limits::RpcLimits,
    tls::TlsFiles,
};

/// The configuration of a server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The URL of its database: `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// The file of credentials. Without it anyone may call.
    pub tokens: Option<PathBuf>,
    /// The files of TLS. Without them nothing is encrypted.
    pub tls: Option<TlsFiles>,
    /// The folder of the secrets that revisions name. Without it there are none.
    pub secrets: Option<PathBuf>,
    /// Limits on the use of the database.
    pub limits: Limits,
    /// Whether it may listen on more than loopback without credentials, or without TLS.
    pub insecure: bool,
    /// How long it keeps what nothing depends on.
    pub retention: Retention,
    /// Limits for callers.
    pub rpc_limits: RpcLimits,
    /// Where it serves metrics. None: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether metrics of deployments are by project. For the whole process, once it is set.
    pub metrics_project_label: bool,
    /// Whether it serves gRPC-Web, and to which pages.
    pub grpc_web: Option<GrpcWeb>,
    /// How much a watch buffers for a slow consumer.
    pub watch: WatchLimits,
    /// How the coordinator works.
    pub coordinator: CoordinatorLimits,
    /// How long a reported health stays valid without a new report. None: for ever, so
    /// that a checker need not repeat what has not changed.
    pub health_ttl: Option<Duration>,
    /// What each project may use, unless the file of credentials says otherwise.
    pub quota: ProjectQuota,
}

impl Config {
    /// Listens on a port of the system's choice on loopback.
    pub fn new(database: impl Into<String>) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen,
            database: database.into(),
            limits: Limits::default(),
            tokens: None,
            tls: None,
            secrets: None,
            insecure: false,
            retention: Retention::default(),
            rpc_limits: RpcLimits::default(),
            metrics_listen: None,
            metrics_project_label: false,
            grpc_web: None,
            watch: WatchLimits::default(),
            coordinator: CoordinatorLimits::default(),
            health_ttl: None,
            quota: ProjectQuota::default(),
        }
    }

    /// Checks the values, and that they can work together.
    ///
    /// # Errors
    ///
    /// A [`StartError`] that is one sentence, and names the flag.
    pub fn check(&self) -> Result<(), StartError> {
        self.limits.check()?;
        self.retention.check()?;
        self.rpc_limits.check()?;
        self.coordinator.check()?;
        if let Some(ttl) = self.health_ttl {
            LimitError::check_duration("health-ttl", ttl, HEALTH_TTL_BOUNDS)?;
        }
        if let Some(Err(origin)) = self.grpc_web.as_ref().map(GrpcWeb::check) {
            return Err(StartError::Config(format!(
                "--grpc-web-origin: {origin:?} is no origin; write https://HOST, or * for all"
            )));
        }
        if let Some(web) = &self.grpc_web
            && web.origins.iter().any(|origin| origin == "*")
            && self.tokens.is_none()
        {
            return Err(StartError::Config(
                "--grpc-web-origin: * needs --tokens: without credentials any page that anyone \
                 here looks at could promote"
                    .to_owned(),
            ));
        }
        let client_ca = self.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        if client_ca.is_some() && self.tokens.is_none() {
            return Err(StartError::Config(
                "--tls-client-ca needs --tokens, the file that says who a certificate is"
                    .to_owned(),
            ));
        }
        // An open port without credentials is the mistake that costs most: it needs a flag.
        if self.listen.ip().is_loopback() || self.insecure {
            return Ok(());
        }
        if self.tokens.is_some() && self.tls.is_some() {
            return Ok(());
        }
        // Who reads a token on its way may do what its owner may.
        if self.tokens.is_some() {
            return Err(StartError::Config(format!(
                "{} is not on loopback, and no TLS is configured: tokens would be sent in clear; \
                 use --tls-cert and --tls-key, or --insecure if something in front of the server \
                 encrypts",
                self.listen
            )));
        }
        Err(StartError::Config(format!(
            "{} is not on loopback, and no credentials are configured: anyone could promote; \
             use --tokens to say who may, or --insecure if that is what you want",
            self.listen
        )))
    }
}

impl Config {
    /// Which web pages may call, if gRPC-Web is served.
    pub(crate) fn pages(&self) -> Option<PageRules> {
        let web = self.grpc_web.as_ref()?;
        Some(PageRules {
            origins: web.origins.clone(),
            hosts: match self.tokens {
                Some(_) => HostRule::Any,
                None if self.listen.ip().is_loopback() => HostRule::Loopback,
                None => HostRule::Addresses,
            },
        })
    }
}

const HEALTH_TTL_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 60 * 60);

/// Why a server did not start. Displays as one sentence.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// The database cannot be reached.
    #[error("{0}")]
    Unavailable(String),
}

/// The kind of a [`StartError`], for an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartErrorKind {
    /// The configuration cannot work.
    Config,
    /// The database cannot be reached.
    Unavailable,
}

impl StartError {
    /// Its kind.
    pub fn kind(&self) -> StartErrorKind {
        match self {
            Self::Config(_) => StartErrorKind::Config,
            Self::Unavailable(_) => StartErrorKind::Unavailable,
        }
    }
}

impl From<LimitError> for StartError {
    fn from(error: LimitError) -> Self {
        Self::Config(format!("--{}: {error}", error.flag))
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        let sentence = error.to_string();
        match error {
            // A restart helps with none of these. Only a
            // database that does not answer is worth one.
            OpenError::Url(_)
            | OpenError::File { .. }
            | OpenError::Migration(_)
            | OpenError::Schema(_)
            | OpenError::Unsuitable(_) => Self::Config(sentence),
            OpenError::Unavailable(_) => Self::Unavailable(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g17_beyond_loopback_someone_has_to_say_who_may_call_and_tokens_are_encrypted() {
        let at = |listen: &str| Config {
            listen: listen.parse().expect("an address"),
            ..Config::new("sqlite:viridian.db")
        };
        for listen in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1"] {
            at(listen).check().expect(listen);
        }
        for listen in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[2001:db8::1]:1"] {
            let error = at(listen).check().expect_err(listen).to_string();
            assert!(error.contains("--insecure"), "{error}");
            let encrypted = Config {
                tls: Some(TlsFiles {
                    cert: "cert.pem".into(),
                    key: "key.pem".into(),
                    client_ca: None,
                }),
                ..at(listen)
            };
            let error = encrypted.check().expect_err("encrypted is not enough");
            assert!(error.to_string().contains("--tokens"), "{error}");
            let insecure = Config {
                insecure: true,
                ..at(listen)
            };
            insecure.check().expect("it is wanted so");
            let guarded = |config| Config {
                tokens: Some("credentials.toml".into()),
                ..config
            };
            let error = guarded(at(listen)).check().expect_err(listen).to_string();
            assert!(error.contains("in clear"), "{error}");
            assert!(error.contains("--insecure"), "{error}");
            guarded(encrypted).check().expect("it is encrypted");
            guarded(insecure).check().expect("something else encrypts");
        }
    }
}
