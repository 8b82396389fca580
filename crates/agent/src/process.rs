//! The process of a route as the agent sees it: a supervisor starts it, and the agent
//! follows and stops it through the supervisor's pipes.

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStdin, ChildStdout, Command},
    time,
};
use tracing::warn;

use crate::{
    AgentConfig, procfs,
    protocol::{ProcessEnd, SupervisorEvent},
};

/// Starts processes, each under a supervisor.
#[derive(Debug)]
pub(crate) struct ProcessLauncher {
    program: OsString,
    arguments: Vec<OsString>,
}

/// The process to start. It has no Debug form: the environment may have secrets.
pub(crate) struct LaunchSpec<'a> {
    /// The program and its arguments.
    pub(crate) command: &'a [String],
    /// Added to the agent's environment. A later entry replaces an earlier one.
    pub(crate) environ: Vec<(&'a str, String)>,
    /// The entry of `environ` that marks the processes of this route.
    pub(crate) mark: (&'static str, &'a str),
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    #[error("the revision has no command")]
    NoCommand,
    #[error("cannot run the supervisor {}: {source}", program.display())]
    Supervisor {
        program: OsString,
        source: io::Error,
    },
    #[error("{reason}")]
    Command { reason: String },
    #[error("the supervisor ended before it had started the command")]
    SupervisorLost,
    #[error("the supervisor did not answer within {} s", CHECK_TIMEOUT.as_secs())]
    SupervisorSilent,
}

impl ProcessLauncher {
    /// `None` when the configuration names no supervisor.
    pub(crate) fn new(config: &AgentConfig) -> Option<Self> {
        let (program, leading) = config.supervisor.split_first()?;
        let mut arguments = leading.to_vec();
        arguments.push("--grace-ms".into());
        arguments.push(config.stop_grace.as_millis().to_string().into());
        if config.quiet_routes {
            arguments.push("--quiet".into());
        }
        arguments.push("--".into());
        Some(Self {
            program: program.clone(),
            arguments,
        })
    }

    /// Starts a supervisor for the command. Returns before the command runs: see
    /// [`RouteProcess::started`].
    pub(crate) fn launch(&self, launch: LaunchSpec<'_>) -> Result<RouteProcess, LaunchError> {
        if launch.command.is_empty() {
            return Err(LaunchError::NoCommand);
        }
        let (name, value) = launch.mark;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .args(launch.command.iter().map(OsStr::new))
            .envs(launch.environ)
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Out of the agent's group: Ctrl-C in a terminal goes to the whole group, and
            // the supervisor must outlive the agent to end its route.
            .process_group(0)
            .spawn()
            .map_err(|source| self.error(source))?;
        let missing = || self.error(io::ErrorKind::BrokenPipe.into());
        Ok(RouteProcess {
            lifeline: Some(child.stdin.take().ok_or_else(missing)?),
            events: BufReader::new(child.stdout.take().ok_or_else(missing)?).lines(),
            mark: format!("{name}={value}"),
            pid: None,
        })
    }

    /// Checks that the supervisor works, with a command that does nothing and need not
    /// exist.
    pub(crate) async fn check(&self) -> Result<(), LaunchError> {
        let mut process = self.launch(LaunchSpec {
            command: &["true".into()],
            environ: Vec::new(),
            mark: ("VIRIDIAN_AGENT_CHECK", "1"),
        })?;
        // Any event will do: `true` need not exist on the machine.
        match time::timeout(CHECK_TIMEOUT, process.next_event()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(LaunchError::SupervisorLost),
            Err(_) => Err(LaunchError::SupervisorSilent),
        }
    }

    fn error(&self, source: io::Error) -> LaunchError {
        let program = self.program.clone();
        LaunchError::Supervisor { program, source }
    }
}

/// A supervised process. Its supervisor stops it when this is dropped.
#[derive(Debug)]
pub(crate) struct RouteProcess {
    /// Closing it makes the supervisor stop the command.
    lifeline: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
    /// The entry in the environment of all its descendants: `NAME=value`.
    mark: String,
    /// The process id of the command, and of its group, once it runs.
    pid: Option<i32>,
}

impl RouteProcess {
    /// Waits until the command runs, and returns its process id. Cancel safe.
    pub(crate) async fn started(&mut self) -> Result<i32, LaunchError> {
        match self.next_event().await {
            Some(SupervisorEvent::Started { pid }) => Ok(pid),
            Some(SupervisorEvent::Failed { reason }) => Err(LaunchError::Command { reason }),
            Some(SupervisorEvent::Exited { .. } | SupervisorEvent::Signaled { .. }) | None => {
                self.kill_remaining().await;
                Err(LaunchError::SupervisorLost)
            }
        }
    }

    /// Makes the supervisor stop the command: SIGTERM, and SIGKILL after the grace.
    pub(crate) fn stop(&mut self) {
        self.lifeline = None;
    }

    /// Waits until the command and all its descendants have ended. Cancel safe.
    pub(crate) async fn ended(&mut self) -> ProcessEnd {
        loop {
            match self.next_event().await {
                Some(SupervisorEvent::Exited { code }) => return ProcessEnd::Exited { code },
                Some(SupervisorEvent::Signaled { signal }) => {
                    return ProcessEnd::Signaled { signal };
                }
                // A stop was requested before `started` was read.
                Some(SupervisorEvent::Started { .. } | SupervisorEvent::Failed { .. }) => {}
                None => {
                    self.kill_remaining().await;
                    return ProcessEnd::SupervisorLost;
                }
            }
        }
    }

    /// `None` when the supervisor has ended: its output ends with it.
    async fn next_event(&mut self) -> Option<SupervisorEvent> {
        let line = self.events.next_line().await.ok().flatten()?;
        let event = serde_json::from_str(&line)
            .inspect_err(|error| warn!(line, %error, "unexpected line from a supervisor"))
            .ok()?;
        if let SupervisorEvent::Started { pid } = event {
            self.pid = Some(pid);
        }
        Some(event)
    }

    /// Kills the route's processes, since its supervisor was killed.
    async fn kill_remaining(&self) {
        let group = self.pid.map(Pid::from_raw);
        kill_all([self.mark.clone()].into(), group).await;
    }
}

/// Kills the remaining processes of routes of an earlier agent, after this delay:
/// their supervisors noticed its end and are stopping them in good order.
pub(crate) async fn kill_lost(route_ids: Vec<String>, delay: Duration) {
    if !route_ids.is_empty() {
        time::sleep(delay).await;
        let marks = route_ids.iter().map(|id| format!("{ROUTE_MARK}={id}"));
        kill_all(marks.collect(), None).await;
    }
}

async fn kill_all(marks: HashSet<String>, group: Option<Pid>) {
    let marks = Arc::new(marks);
    // More than once: a process may fork while the others are being killed.
    for _ in 0..MAX_SWEEPS {
        let marks = Arc::clone(&marks);
        // Reading all of /proc blocks for milliseconds on a busy machine.
        let swept = tokio::task::spawn_blocking(move || {
            let alive = procfs::alive_with_mark(&marks, group);
            for process in &alive {
                // It fails for a process that has ended since it was listed.
                let _ = kill(process.pid, Signal::SIGKILL);
            }
            alive.len()
        });
        if matches!(swept.await, Ok(0) | Err(_)) {
            return;
        }
        time::sleep(SWEEP_INTERVAL).await;
    }
    warn!(?marks, "processes remain after SIGKILL");
}

/// The environment variable that marks the processes of a route.
pub(crate) const ROUTE_MARK: &str = "VIRIDIAN_ROUTE_ID";

const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_SWEEPS: usize = 100;
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);
