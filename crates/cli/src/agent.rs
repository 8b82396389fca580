//! `viridian agent`, and the process that it starts for each route.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use etcetera::BaseStrategy as _;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, AgentError};

use crate::{
    duration, error,
    logging::{self, LogArgs, LogError},
    server::{ServerArgs, ServerError, Target},
    signals::Signals,
};

/// The flags of `viridian agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The group of machines that this one belongs to.
    #[arg(
        long,
        env = "VIRIDIAN_RESOURCE_GROUP",
        value_name = "GROUP",
        default_value = "default"
    )]
    resource_group: String,
    /// How long a route has between SIGTERM and SIGKILL.
    #[arg(
        long,
        env = "VIRIDIAN_STOP_GRACE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse
    )]
    stop_grace: Duration,
    /// How often a health that has not changed is told again. Several times as
    /// often as the server's --health-silence.
    #[arg(
        long,
        env = "VIRIDIAN_HEALTH_REPEAT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse
    )]
    health_repeat: Duration,
    /// Where it notes which routes run, so that after it was killed their end is
    /// reported at the next start [default: a folder of the user's own for this
    /// server and group].
    #[arg(long, env = "VIRIDIAN_STATE_DIR", value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Throw away what routes write to their stdout and stderr.
    #[arg(long, env = "VIRIDIAN_QUIET_ROUTES", value_parser = BoolishValueParser::new())]
    quiet_routes: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// The flags of `viridian route-supervisor`.
#[derive(Debug, Args)]
pub(crate) struct SupervisorArgs {
    /// How long the command has between SIGTERM and SIGKILL.
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) grace_ms: u64,
    /// Throw away what the command writes.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentCommandError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("there is no home folder to keep the state in: give --state-dir FOLDER")]
    NoHome,
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl AgentCommandError {
    /// 78 for the configuration, 1 for anything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Log(_) | Self::Server(_) | Self::NoHome => error::CONFIG,
            Self::Start(_) | Self::Agent(_) => 1,
        }
    }
}

/// Runs routes until SIGINT or SIGTERM, then stops all of them.
pub(crate) fn run(args: AgentArgs) -> Result<ExitCode, AgentCommandError> {
    logging::start(args.log)?;
    let Target { url, tls, bearer } = args.server.target()?;
    let state = match args.state_dir {
        Some(folder) => folder,
        None => own_folder(&url, &args.resource_group)?,
    };
    let config = AgentConfig {
        server: url,
        tls,
        bearer,
        resource_group: args.resource_group,
        supervisor: supervisor()?,
        stop_grace: args.stop_grace,
        health_repeat: args.health_repeat,
        state: Some(state),
        quiet_routes: args.quiet_routes,
    };
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(Box::pin(run_until_signal(config)));
    runtime.shutdown_timeout(LAST_TASKS);
    outcome
}

/// Runs one route for the agent. Without a runtime: there is one of these for
/// each route of the machine.
pub(crate) fn supervise(args: SupervisorArgs) -> ExitCode {
    viridian_agent::supervise(viridian_agent::SupervisorArgs {
        grace: Duration::from_millis(args.grace_ms),
        quiet: args.quiet,
        command: args.command,
    })
}

/// How an agent starts the supervisor of a route: this program again.
pub(crate) fn supervisor() -> io::Result<Vec<OsString>> {
    Ok(vec![
        std::env::current_exe()?.into(),
        "route-supervisor".into(),
    ])
}

/// Where the user's own state of this program lies: apart for each server and
/// group, since agents of different ones may run side by side.
fn own_folder(server: &str, resource_group: &str) -> Result<PathBuf, AgentCommandError> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| AgentCommandError::NoHome)?;
    let state = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    let name = format!("{server} {resource_group}");
    let plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-');
    let name = name.replace(|it| !plain(it), "_");
    Ok(state.join("viridian").join("agent").join(name))
}

async fn run_until_signal(config: AgentConfig) -> Result<ExitCode, AgentCommandError> {
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let mut agent = Box::pin(viridian_agent::run(config, stop.clone()));
    tokio::select! {
        ended = &mut agent => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
        _ = signals.next() => stop.cancel(),
    }
    tokio::select! {
        ended = agent => Ok(ended.map(|()| ExitCode::SUCCESS)?),
        // Whoever asks twice does not want to wait. The supervisors see that
        // the agent is gone, and end what they run.
        signal = signals.next() => Ok(signal.exit_code()),
    }
}

/// How long what is still running may take to end after the agent has.
const LAST_TASKS: Duration = Duration::from_millis(500);
