//! `viridian serve`: runs the control plane until a signal. The flags for one subject
//! are in a file each.

mod coordinator_args;
mod database_args;
mod quota_args;
mod retention_args;
mod rpc_limit_args;
mod security_args;
mod watch_args;

use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, builder::BoolishValueParser};
use etcetera::BaseStrategy as _;
use tokio::runtime::Runtime;
use viridian_server::{Config, GrpcWeb, Server, StartError, StartErrorKind, TaskFailure};

use self::{
    coordinator_args::CoordinatorArgs,
    database_args::DatabaseArgs,
    quota_args::QuotaArgs,
    retention_args::RetentionArgs,
    rpc_limit_args::RpcLimitArgs,
    security_args::{SecurityArgs, SecurityError},
    watch_args::WatchArgs,
};
use crate::{
    duration, exit_code,
    logging::{self, LogArgs, LogError},
    runtime::TASK_SHUTDOWN_TIMEOUT,
    signals::StopSignals,
};

/// The flags of `viridian serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address and port to listen on.
    ///
    /// An address that other machines can reach needs --tokens and TLS, or --insecure.
    #[arg(
        long,
        env = "VIRIDIAN_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:50051"
    )]
    listen: String,
    /// Database: sqlite:PATH or postgres://USER@HOST/NAME [default: viridian.db in
    /// the user's data folder].
    ///
    /// SQLite is for one server. PostgreSQL is for several servers that share the
    /// work. The server creates the schema, and upgrades it at its start.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    database: Option<String>,
    /// Listen beyond loopback without credentials or without TLS.
    ///
    /// Without --tokens every caller may do everything; with it, tokens come unencrypted. Only
    /// for networks in which every machine is trusted, or where a proxy encrypts.
    #[arg(long, env = "VIRIDIAN_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
    /// Address for Prometheus metrics: GET /metrics [default: off].
    ///
    /// It has neither credentials nor TLS: keep it on an internal network.
    #[arg(long, env = "VIRIDIAN_METRICS_LISTEN", value_name = "HOST:PORT")]
    metrics_listen: Option<String>,
    /// Give the metrics of deployments a label with their project.
    ///
    /// Each project is then as many time series more as there are states. The first 100
    /// projects have their own, all others share "_other".
    #[arg(
        long,
        env = "VIRIDIAN_METRICS_PROJECT_LABEL",
        value_parser = BoolishValueParser::new(),
        requires = "metrics_listen"
    )]
    metrics_project_label: bool,
    /// Also serve gRPC-Web, which browsers need.
    #[arg(long, env = "VIRIDIAN_GRPC_WEB", value_parser = BoolishValueParser::new())]
    grpc_web: bool,
    /// Origin whose pages may call over gRPC-Web, like https://example.org; * for
    /// all. May be repeated, or a list with commas.
    #[arg(
        long,
        env = "VIRIDIAN_GRPC_WEB_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        requires = "grpc_web"
    )]
    grpc_web_origin: Vec<String>,
    /// How long a reported health stays valid without a new report [default: for
    /// ever].
    ///
    /// No promotion or rolling step rests on an older health. A HEALTHY route without a
    /// report for this time becomes NOT_CHECKED, so that a health checker that has died is
    /// noticed. Set it only if health checkers repeat
    /// their reports; use several times their interval. `viridian agent` repeats them
    /// every --health-repeat.
    #[arg(long, env = "VIRIDIAN_HEALTH_TTL", value_name = "DURATION", value_parser = duration::parse)]
    health_ttl: Option<Duration>,
    /// Former name of --health-ttl.
    #[arg(long, hide = true, env = "VIRIDIAN_HEALTH_SILENCE", value_name = "DURATION", value_parser = duration::parse)]
    health_silence: Option<Duration>,
    #[command(flatten)]
    security: SecurityArgs,
    #[command(flatten)]
    rpc_limits: RpcLimitArgs,
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    #[command(flatten)]
    limits: DatabaseArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    quota: QuotaArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot listen on {listen:?}: expected HOST:PORT")]
    Listen { listen: String },
    #[error("no home folder found for the default database; set --database")]
    NoHome,
    #[error("cannot create the folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("{0}; the server ended with it, and its log says more")]
    Failed(TaskFailure),
}

impl ServeError {
    /// A code of [`exit_code::TABLE`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Log(_)
            | Self::Listen { .. }
            | Self::NoHome
            | Self::Folder { .. }
            | Self::Security(_) => exit_code::CONFIG,
            Self::Start(error) => match error.kind() {
                StartErrorKind::Config => exit_code::CONFIG,
                StartErrorKind::Unavailable => exit_code::UNAVAILABLE,
            },
            Self::Failed(_) => exit_code::SOFTWARE,
            Self::Runtime(_) => exit_code::FAILURE,
        }
    }
}

/// Serves until SIGINT, SIGTERM or SIGHUP, then shuts down gracefully.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode, ServeError> {
    let runtime = Runtime::new().map_err(ServeError::Runtime)?;
    let log_guard = {
        // The exporter of traces spawns its tasks on this runtime.
        let _entered = runtime.enter();
        logging::start_with_traces(args.log)?
    };
    let outcome = runtime.block_on(Box::pin(serve(args)));
    // Before the runtime ends: the exporter sends the last spans on it.
    log_guard.flush();
    // The drop of a runtime waits for blocking tasks without a limit.
    runtime.shutdown_timeout(TASK_SHUTDOWN_TIMEOUT);
    outcome
}

impl ServeArgs {
    /// The configuration that the flags describe.
    pub(crate) async fn config(self) -> Result<Config, ServeError> {
        let mut config = Config::new(self.database()?);
        config.listen = resolve(&self.listen).await?;
        config.tls = self.security.tls()?;
        config.tokens = self.security.tokens;
        config.secrets = self.security.secrets;
        config.insecure = self.insecure;
        config.limits = self.limits.into();
        config.retention = self.retention.into();
        config.quota = self.quota.into();
        config.rpc_limits = self.rpc_limits.into();
        config.grpc_web = self.grpc_web.then_some(GrpcWeb {
            origins: self.grpc_web_origin,
        });
        if let Some(listen) = &self.metrics_listen {
            config.metrics_listen = Some(resolve(listen).await?);
        }
        config.metrics_project_label = self.metrics_project_label;
        config.watch = self.watch.into();
        config.coordinator = self.coordinator.into();
        // The former name still counts where the new one is not given.
        config.health_ttl = self.health_ttl.or(self.health_silence);
        Ok(config)
    }

    /// The URL of --database, or of a SQLite file in the user's data folder.
    pub(crate) fn database(&self) -> Result<String, ServeError> {
        match &self.database {
            Some(url) => Ok(url.clone()),
            None => Ok(format!(
                "sqlite:{}",
                data_folder()?.join("viridian.db").display()
            )),
        }
    }

    /// The folder of the default database, which the server creates if it is missing.
    pub(crate) fn default_folder(&self) -> Result<Option<PathBuf>, ServeError> {
        match &self.database {
            Some(_) => Ok(None),
            None => data_folder().map(Some),
        }
    }
}

async fn serve(args: ServeArgs) -> Result<ExitCode, ServeError> {
    // First: without handlers, a signal while the database is opened would kill the process.
    let mut signals = StopSignals::listen().map_err(ServeError::Runtime)?;
    // Only this folder is created: a mistyped path in --database must stay an error.
    if let Some(folder) = args.default_folder()? {
        private_folder(&folder).map_err(|source| ServeError::Folder { folder, source })?;
    }
    let config = args.config().await?;
    let mut server = tokio::select! {
        started = Server::start(config) => started?,
        // As after a shutdown: nothing is served yet that would have to end in order.
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    tokio::select! {
        _ = signals.next() => {}
        // It has ended its other tasks by then: there is nothing left to shut down.
        failure = server.failed() => return Err(ServeError::Failed(failure)),
    }
    tokio::select! {
        () = server.shutdown() => Ok(ExitCode::SUCCESS),
        // A second signal: end at once, without waiting for open calls.
        stop = signals.next() => Ok(stop.exit_code()),
    }
}

/// Creates a folder, with those above it, that only its owner can read.
fn private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

async fn resolve(listen: &str) -> Result<SocketAddr, ServeError> {
    let found = tokio::net::lookup_host(listen).await;
    found
        .ok()
        // A name may have several addresses, but the server listens on one.
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| ServeError::Listen {
            listen: listen.to_owned(),
        })
}

/// The folder of this program in the user's data folder.
fn data_folder() -> Result<PathBuf, ServeError> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| ServeError::NoHome)?;
    Ok(strategy.data_dir().join("viridian"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{ServeArgs, ServeError, resolve};
    use crate::exit_code;

    #[derive(Debug, Parser)]
    struct Flags {
        #[command(flatten)]
        serve: ServeArgs,
    }

    #[tokio::test]
    async fn listens_on_addresses_and_names() {
        for listen in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
            resolve(listen).await.expect(listen);
        }
    }

    #[tokio::test]
    async fn a_malformed_address_is_a_configuration_error() {
        for listen in ["", "127.0.0.1", "127.0.0.1:70000", "two words:1"] {
            let error = resolve(listen).await.expect_err(listen);
            assert!(matches!(error, ServeError::Listen { .. }), "{error:?}");
            assert_eq!(error.exit_code(), exit_code::CONFIG);
        }
    }

    #[test]
    fn the_database_flag_is_used_as_given() {
        let url = "postgres://somewhere/db";
        let flags = Flags::try_parse_from(["serve", "--database", url]).expect("the flags");
        assert_eq!(flags.serve.database().ok().as_deref(), Some(url));
        assert!(matches!(flags.serve.default_folder(), Ok(None)));
    }
}
