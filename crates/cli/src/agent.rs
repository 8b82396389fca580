//! `viridian agent`, and the supervisor process that it starts for each route.

use std::{ffi::OsString, io, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, builder::BoolishValueParser};
use etcetera::BaseStrategy as _;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, AgentError};

use crate::{
    duration, exit_code,
    logging::{self, LogArgs, LogError},
    runtime::TASK_SHUTDOWN_TIMEOUT,
    server_args::{ServerArgs, ServerError},
    signals::StopSignals,
};

/// The flags of `viridian agent`.
#[derive(Debug, Args)]
pub(crate) struct AgentArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Resource group of this machine: the agent runs routes of deployments that name
    /// the same group.
    #[arg(
        long,
        env = "VIRIDIAN_RESOURCE_GROUP",
        value_name = "GROUP",
        default_value = "default"
    )]
    resource_group: String,
    /// How long a route may take to stop: time between SIGTERM and SIGKILL.
    ///
    /// Raise it if replicas need longer to finish their last requests.
    #[arg(
        long,
        env = "VIRIDIAN_STOP_GRACE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse
    )]
    stop_grace: Duration,
    /// How often to report a health that has not changed.
    ///
    /// If the server has --health-ttl, use a fraction of that.
    #[arg(
        long,
        env = "VIRIDIAN_HEALTH_REPEAT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = duration::parse
    )]
    health_repeat: Duration,
    /// Folder for the list of running routes [default: a folder in the user's state
    /// folder, for this server and group].
    ///
    /// After a crash the agent reads the list, and reports those routes as
    /// terminated. Keep the folder between starts; each agent needs its own.
    #[arg(long, env = "VIRIDIAN_STATE_DIR", value_name = "FOLDER")]
    state_dir: Option<PathBuf>,
    /// Discard the stdout and stderr of routes.
    #[arg(long, env = "VIRIDIAN_QUIET_ROUTES", value_parser = BoolishValueParser::new())]
    quiet_routes: bool,
    /// Take commands from a server on another machine without encryption (http://), and
    /// send it the token.
    ///
    /// A machine on the way can then run programs here. Only for networks in which every
    /// machine is trusted.
    #[arg(long, env = "VIRIDIAN_AGENT_INSECURE", value_parser = BoolishValueParser::new())]
    insecure: bool,
    #[command(flatten)]
    log: LogArgs,
}

/// The flags of `viridian route-supervisor`.
#[derive(Debug, Args)]
pub(crate) struct RouteSupervisorArgs {
    /// Time between SIGTERM and SIGKILL.
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) grace_ms: u64,
    /// Discard the stdout and stderr of the command.
    #[arg(long)]
    pub(crate) quiet: bool,
    /// The program and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Why the agent failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgentCommandError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("no home folder found for the agent's state; set --state-dir")]
    NoHome,
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl AgentCommandError {
    /// A code of [`exit_code::TABLE`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Log(_) | Self::Server(_) | Self::NoHome => exit_code::CONFIG,
            Self::Agent(error) => match error {
                // No restart helps against these.
                AgentError::Server(_)
                | AgentError::NoSupervisor
                | AgentError::Supervisor { .. }
                | AgentError::State { .. } => exit_code::CONFIG,
                // The other agent may end.
                AgentError::StateInUse { .. } => exit_code::UNAVAILABLE,
                _ => exit_code::FAILURE,
            },
            Self::Start(_) => exit_code::FAILURE,
        }
    }
}

/// Runs routes until SIGINT or SIGTERM, then stops them.
pub(crate) fn run(args: AgentArgs) -> Result<ExitCode, AgentCommandError> {
    logging::start(args.log)?;
    let server = args.server.agent_target(args.insecure)?;
    let state = match args.state_dir {
        Some(folder) => folder,
        None => state_folder(server.url(), &args.resource_group)?,
    };
    let config = AgentConfig {
        server,
        resource_group: args.resource_group,
        supervisor: supervisor_command()?,
        stop_grace: args.stop_grace,
        health_repeat: args.health_repeat,
        state: Some(state),
        quiet_routes: args.quiet_routes,
    };
    let runtime = Runtime::new()?;
    let outcome = runtime.block_on(Box::pin(run_until_signal(config)));
    // The drop of a runtime waits for blocking tasks without a limit.
    runtime.shutdown_timeout(TASK_SHUTDOWN_TIMEOUT);
    outcome
}

/// Runs one route for the agent. Uses no async runtime, which keeps the process small:
/// there is one for each route of the machine.
pub(crate) fn supervise(args: RouteSupervisorArgs) -> ExitCode {
    viridian_agent::supervise(viridian_agent::SupervisorConfig {
        grace: Duration::from_millis(args.grace_ms),
        quiet: args.quiet,
        command: args.command,
    })
}

/// The command that starts a supervisor: this program with a hidden command.
pub(crate) fn supervisor_command() -> io::Result<Vec<OsString>> {
    Ok(vec![
        std::env::current_exe()?.into(),
        "route-supervisor".into(),
    ])
}

/// The default state folder. Agents of different servers or groups may run on one
/// machine, so that each pair has its own.
fn state_folder(server: &str, resource_group: &str) -> Result<PathBuf, AgentCommandError> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| AgentCommandError::NoHome)?;
    // Not every platform has a folder for state.
    let state = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    // One file name from both: `/` and `:` of the URL are replaced below.
    let name = format!("{server} {resource_group}");
    let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-');
    let name = name.replace(|it| !is_plain(it), "_");
    Ok(state.join("viridian").join("agent").join(name))
}

async fn run_until_signal(config: AgentConfig) -> Result<ExitCode, AgentCommandError> {
    let mut signals = StopSignals::listen()?;
    let stop = CancellationToken::new();
    // Pinned, since the same future goes on after a signal, and stops the routes.
    let mut agent = Box::pin(viridian_agent::run(config, stop.clone()));
    tokio::select! {
        ended = &mut agent => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
        _ = signals.next() => stop.cancel(),
    }
    // The agent now stops its routes, which takes up to --stop-grace.
    tokio::select! {
        ended = agent => Ok(ended.map(|()| ExitCode::SUCCESS)?),
        // A second signal: end at once. The supervisors notice that the agent is
        // gone, and stop their routes themselves.
        signal = signals.next() => Ok(signal.exit_code()),
    }
}
