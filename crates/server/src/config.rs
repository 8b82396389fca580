//! What a server is told when it starts.

use std::net::{Ipv4Addr, SocketAddr};

use thiserror::Error;
use viridian_store::{OpenError, Retention};

use crate::watches::WatchLimits;

/// What a server is told when it starts.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The URL of its database: `sqlite:PATH` or `postgres://…`.
    pub database: String,
    /// Whether it may listen on more than loopback without credentials.
    pub insecure: bool,
    /// For how long it keeps what nothing depends on.
    pub retention: Retention,
    /// How much is kept for a consumer that is slow.
    pub watch: WatchLimits,
}

impl Config {
    /// Listens on a port of the system's choice on loopback.
    pub fn new(database: impl Into<String>) -> Self {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            listen,
            database: database.into(),
            insecure: false,
            retention: Retention::default(),
            watch: WatchLimits::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), StartError> {
        self.retention
            .check()
            .map_err(|error| StartError::Config(format!("--retain-{}: {error}", error.field)))?;
        if self.listen.ip().is_loopback() || self.insecure {
            return Ok(());
        }
        Err(StartError::Config(format!(
            "{} is not on loopback, and no credentials are configured: anyone could promote; \
             use --insecure if that is what you want",
            self.listen
        )))
    }
}

/// Why a server did not start. Displays as one sentence.
#[derive(Debug, Error)]
pub enum StartError {
    /// It was told something that cannot work.
    #[error("{0}")]
    Config(String),
    /// The database cannot be reached.
    #[error("{0}")]
    Unavailable(String),
}

/// Which of the two, for an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartErrorKind {
    /// It was told something that cannot work.
    Config,
    /// The database cannot be reached.
    Unavailable,
}

impl StartError {
    /// Which of the two it is.
    pub fn kind(&self) -> StartErrorKind {
        match self {
            Self::Config(_) => StartErrorKind::Config,
            Self::Unavailable(_) => StartErrorKind::Unavailable,
        }
    }
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        let sentence = error.to_string();
        match error {
            OpenError::Url(_)
            | OpenError::File { .. }
            | OpenError::Migration(_)
            | OpenError::Schema(_) => Self::Config(sentence),
            OpenError::Away(_) => Self::Unavailable(sentence),
        }
    }
}
