//! `viridian serve`: runs the control plane until a signal.

use std::{fs, io, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use etcetera::BaseStrategy as _;
use tokio::runtime::Runtime;
use viridian_server::{Config, GrpcWeb, Server, StartError, StartErrorKind};

use crate::{
    coordinator::CoordinatorArgs,
    duration, error,
    limits::LimitArgs,
    logging::{self, LogArgs, LogError},
    retention::RetentionArgs,
    rpc_limits::RpcLimitArgs,
    security::{SecurityArgs, SecurityError},
    signals::Signals,
    watch_limits::WatchLimitArgs,
};

/// The flags of `viridian serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Where to listen. Anything but loopback needs --tokens, or --insecure.
    #[arg(
        long,
        env = "VIRIDIAN_LISTEN",
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:50051"
    )]
    listen: String,
    /// sqlite:PATH or postgres://… [default: viridian.db in the user's data
    /// folder].
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    database: Option<String>,
    #[command(flatten)]
    security: SecurityArgs,
    /// Listen where others can reach it, though nobody is asked who they are.
    #[arg(long, env = "VIRIDIAN_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
    /// Where to tell what is measured, for Prometheus: GET /metrics. Nobody is
    /// asked who they are [default: nowhere].
    #[arg(long, env = "VIRIDIAN_METRICS_LISTEN", value_name = "HOST:PORT")]
    metrics_listen: Option<String>,
    /// Speak gRPC-Web too, which browsers need.
    #[arg(long, env = "VIRIDIAN_GRPC_WEB", value_parser = BoolishValueParser::new())]
    grpc_web: bool,
    /// An origin whose pages may call, like https://example.org, or * for all.
    /// May be given more than once, or as a list with commas.
    #[arg(
        long,
        env = "VIRIDIAN_GRPC_WEB_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        requires = "grpc_web"
    )]
    grpc_web_origin: Vec<String>,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    retention: RetentionArgs,
    #[command(flatten)]
    rpc_limits: RpcLimitArgs,
    #[command(flatten)]
    watch: WatchLimitArgs,
    #[command(flatten)]
    coordinator: CoordinatorArgs,
    /// Have a route NOT_CHECKED once nobody has spoken of its health for so long.
    /// Only with a health checker that repeats itself several times as often;
    /// `viridian agent` does so by its --health-repeat [default: what was said counts for
    /// ever].
    #[arg(long, env = "VIRIDIAN_HEALTH_SILENCE", value_name = "DURATION", value_parser = duration::parse)]
    health_silence: Option<Duration>,
    #[command(flatten)]
    log: LogArgs,
}

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("cannot listen on {listen:?}: it is not HOST:PORT")]
    Listen { listen: String },
    #[error("there is no home folder to keep a database in; say where with --database")]
    NoHome,
    #[error("cannot create the folder {}: {source}", folder.display())]
    Folder { folder: PathBuf, source: io::Error },
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the server ended by itself; its log says why")]
    Ended,
}

impl ServeError {
    /// As sysexits.h has it: 78 for the configuration, 69 for a database that
    /// is away.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Log(_)
            | Self::Listen { .. }
            | Self::NoHome
            | Self::Folder { .. }
            | Self::Security(_) => error::CONFIG,
            Self::Start(error) => match error.kind() {
                StartErrorKind::Config => error::CONFIG,
                StartErrorKind::Unavailable => error::UNAVAILABLE,
            },
            Self::Runtime(_) | Self::Ended => 1,
        }
    }
}

/// Serves until SIGINT or SIGTERM, then ends in good order.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode, ServeError> {
    let runtime = Runtime::new().map_err(ServeError::Runtime)?;
    let telling = {
        let _within = runtime.enter();
        logging::start_with_traces(args.log)?
    };
    let outcome = runtime.block_on(Box::pin(serve(args)));
    telling.end();
    runtime.shutdown_timeout(LAST_TASKS);
    outcome
}

impl ServeArgs {
    /// What the flags come to.
    pub(crate) async fn config(self) -> Result<Config, ServeError> {
        let mut config = Config::new(self.database()?);
        config.listen = resolve(&self.listen).await?;
        config.tls = self.security.tls()?;
        config.tokens = self.security.tokens;
        config.insecure = self.insecure;
        config.limits = self.limits.into();
        config.retention = self.retention.into();
        config.rpc_limits = self.rpc_limits.into();
        config.grpc_web = self.grpc_web.then_some(GrpcWeb {
            origins: self.grpc_web_origin,
        });
        if let Some(listen) = &self.metrics_listen {
            config.metrics_listen = Some(resolve(listen).await?);
        }
        config.watch = self.watch.into();
        config.coordinator = self.coordinator.into();
        config.health_silence = self.health_silence;
        Ok(config)
    }

    /// The URL that was asked for, or that of a file of the user's own.
    pub(crate) fn database(&self) -> Result<String, ServeError> {
        match &self.database {
            Some(url) => Ok(url.clone()),
            None => Ok(format!(
                "sqlite:{}",
                own_folder()?.join("viridian.db").display()
            )),
        }
    }

    /// The folder that the server makes before anything else, if it is not there.
    pub(crate) fn folder(&self) -> Result<Option<PathBuf>, ServeError> {
        match &self.database {
            Some(_) => Ok(None),
            None => own_folder().map(Some),
        }
    }
}

async fn serve(args: ServeArgs) -> Result<ExitCode, ServeError> {
    let mut signals = Signals::listen().map_err(ServeError::Runtime)?;
    if let Some(folder) = args.folder()? {
        fs::create_dir_all(&folder).map_err(|source| ServeError::Folder { folder, source })?;
    }
    let config = args.config().await?;
    let mut server = tokio::select! {
        started = Server::start(config) => started?,
        _ = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    tokio::select! {
        _ = signals.next() => {}
        () = server.stopped() => return Err(ServeError::Ended),
    }
    tokio::select! {
        () = server.shutdown() => Ok(ExitCode::SUCCESS),
        // Whoever asks twice does not want to wait.
        stop = signals.next() => Ok(stop.exit_code()),
    }
}

async fn resolve(listen: &str) -> Result<SocketAddr, ServeError> {
    let found = tokio::net::lookup_host(listen).await;
    found
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| ServeError::Listen {
            listen: listen.to_owned(),
        })
}

/// Where the user's own data of this program lies.
fn own_folder() -> Result<PathBuf, ServeError> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| ServeError::NoHome)?;
    Ok(strategy.data_dir().join("viridian"))
}

/// How long what is still running may take to end after the server has.
const LAST_TASKS: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{ServeArgs, ServeError, resolve};
    use crate::error;

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
    async fn what_is_no_address_is_a_configuration_error() {
        for listen in ["", "127.0.0.1", "127.0.0.1:70000", "two words:1"] {
            let error = resolve(listen).await.expect_err(listen);
            assert!(matches!(error, ServeError::Listen { .. }), "{error:?}");
            assert_eq!(error.exit_code(), error::CONFIG);
        }
    }

    #[test]
    fn a_database_that_is_asked_for_is_taken_as_it_is() {
        let url = "postgres://somewhere/db";
        let flags = Flags::try_parse_from(["serve", "--database", url]).expect("the flags");
        assert_eq!(flags.serve.database().ok().as_deref(), Some(url));
        assert!(matches!(flags.serve.folder(), Ok(None)));
    }
}
