//! The files of credentials and of TLS, loaded at the start and read again when they change.

use std::{net::SocketAddr, path::Path};

use futures::{FutureExt as _, future::BoxFuture};
use tokio_rustls::rustls::ServerConfig;
use viridian_store::QuotaSource;
use viridian_strategy::ProjectQuota;

use crate::{
    auth::Credentials,
    config::{Config, StartError},
    layers::Authenticator,
    reload::{self, ReloadedValue},
    secrets::SecretFolder,
    tasks::BackgroundTask,
};

/// What is in a file of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialSummary {
    /// How many entries it has.
    pub count: usize,
    /// Whether some entries are for certificates.
    pub certificates: bool,
}

/// Reads a file of credentials like a server does.
///
/// # Errors
///
/// A sentence with the file and the line, and no secret.
pub fn inspect_credentials(file: &Path) -> Result<CredentialSummary, String> {
    let contents = reload::read(&[file.to_owned()])?;
    let credentials = parse_credentials(file, contents.first().map_or(&[], Vec::as_slice))?;
    Ok(CredentialSummary {
        count: credentials.len(),
        certificates: credentials.need_certificates(),
    })
}

/// Who may call, and the configuration of TLS.
pub(crate) struct LoadedSecurity {
    pub(crate) authenticator: Authenticator,
    pub(crate) tls: Option<ReloadedValue<ServerConfig>>,
    /// Where the secrets of revisions are.
    pub(crate) secrets: SecretFolder,
    /// The tasks that read the files again when they change.
    pub(crate) reloads: Vec<(BackgroundTask, BoxFuture<'static, ()>)>,
}

impl LoadedSecurity {
    /// Reads the files.
    pub(crate) fn load(config: &Config) -> Result<Self, StartError> {
        let mut security = Self {
            authenticator: Authenticator::default(),
            tls: None,
            // A folder that is not there is a mistake in the configuration. What is in it may
            // come later.
            secrets: SecretFolder::open(config.secrets.clone())
                .map_err(|why| StartError::Config(format!("--secrets: {why}")))?,
            reloads: Vec::new(),
        };
        // Read at the start too: a server with a broken file must not start.
        if let Some(path) = &config.tokens {
            let file = path.clone();
            let parse = move |contents: &[Vec<u8>]| {
                parse_credentials(&file, contents.first().map_or(&[], Vec::as_slice))
            };
            let (credentials, follower) = reload::load(vec![path.clone()], parse)
                .map_err(|why| StartError::Config(format!("--tokens: {why}")))?;
            let reload = follower.run("credentials").boxed();
            security
                .reloads
                .push((BackgroundTask::CredentialsReload, reload));
            security.authenticator = Authenticator(Some(credentials));
        }
        if let Some(files) = config.tls.clone() {
            let paths = files.paths();
            let parse = move |contents: &[Vec<u8>]| files.parse(contents);
            let (tls, follower) = reload::load(paths, parse)
                .map_err(|why| StartError::Config(format!("TLS: {why}")))?;
            let reload = follower.run("TLS").boxed();
            security.reloads.push((BackgroundTask::TlsReload, reload));
            security.tls = Some(tls);
        }
        Ok(security)
    }

    /// What projects may use, as the files say it at each time.
    pub(crate) fn quotas(&self, default: ProjectQuota) -> QuotaSource {
        match self.authenticator.0.clone() {
            Some(credentials) => {
                QuotaSource::new(move |project| credentials.now().quota(project, default))
            }
            None => QuotaSource::new(move |_| default),
        }
    }

    /// Logs who may call, and warns of what is not secure.
    pub(crate) fn log_access(&self, config: &Config, address: SocketAddr) {
        let loopback = address.ip().is_loopback();
        // A mistake here is open to everyone on the network, so the start of the log says it.
        let Some(credentials) = &self.authenticator.0 else {
            if loopback {
                tracing::info!("no credentials are configured: listening on loopback only");
            } else {
                tracing::warn!(%address, "no credentials are configured: anyone who reaches it may call");
            }
            return;
        };
        let credentials = credentials.now();
        tracing::info!(
            entries = credentials.len(),
            "only those with credentials may call"
        );
        // It was allowed by a flag: the log is where to find out that it still is.
        if self.tls.is_none() && !loopback {
            tracing::warn!(%address, "tokens are not encrypted on their way here: no TLS is configured");
        } else if config.insecure {
            tracing::warn!("--insecure changes nothing: credentials are configured");
        }
        let client_ca = config.tls.as_ref().and_then(|tls| tls.client_ca.as_ref());
        if client_ca.is_none() && credentials.need_certificates() {
            tracing::warn!("no client certificate can be shown: --tls-client-ca is not configured");
        }
    }
}

fn parse_credentials(file: &Path, contents: &[u8]) -> Result<Credentials, String> {
    let text =
        std::str::from_utf8(contents).map_err(|_| format!("{} is no text", file.display()))?;
    Credentials::parse(text).map_err(|error| format!("{}: {error}", file.display()))
}
