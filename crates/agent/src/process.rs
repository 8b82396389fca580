//! A route's process, seen from the agent: started through a supervisor,
//! followed and stopped through its pipes.

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
    protocol::{Ending, Event},
};

/// Starts processes, each under a supervisor.
#[derive(Debug)]
pub(crate) struct Launcher {
    program: OsString,
    arguments: Vec<OsString>,
}

/// What to start.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    /// The program and its arguments.
    pub(crate) command: &'a [String],
    /// Added to the agent's environment; a later one replaces an earlier one.
    pub(crate) environ: Vec<(&'a str, String)>,
    /// The entry of `environ` that marks the processes of this route.
    pub(crate) mark: (&'static str, &'a str),
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
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

impl Launcher {
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

    /// Starts a supervisor for the command. It returns before the command runs:
    /// see [`Process::started`].
    pub(crate) fn launch(&self, launch: Launch<'_>) -> Result<Process, StartError> {
        if launch.command.is_empty() {
            return Err(StartError::NoCommand);
        }
        let (name, value) = launch.mark;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .args(launch.command.iter().map(OsStr::new))
            .envs(launch.environ)
            .env(name, value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| self.error(source))?;
        let missing = || self.error(io::ErrorKind::BrokenPipe.into());
        Ok(Process {
            lifeline: Some(child.stdin.take().ok_or_else(missing)?),
            events: BufReader::new(child.stdout.take().ok_or_else(missing)?).lines(),
            mark: format!("{name}={value}"),
            pid: None,
        })
    }

    /// Whether the supervisor works at all: tried with a command that does
    /// nothing, which need not exist.
    pub(crate) async fn check(&self) -> Result<(), StartError> {
        let mut process = self.launch(Launch {
            command: &["true".into()],
            environ: Vec::new(),
            mark: ("VIRIDIAN_AGENT_CHECK", "1"),
        })?;
        match time::timeout(CHECK_TIMEOUT, process.next_event()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(StartError::SupervisorLost),
            Err(_) => Err(StartError::SupervisorSilent),
        }
    }

    fn error(&self, source: io::Error) -> StartError {
        let program = self.program.clone();
        StartError::Supervisor { program, source }
    }
}

/// A supervised process. When it is dropped its supervisor stops it.
#[derive(Debug)]
pub(crate) struct Process {
    /// The supervisor stops the command when this is closed.
    lifeline: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
    /// The entry in the environment of all its descendants.
    mark: String,
    /// The command's, and its group's, once it runs.
    pid: Option<i32>,
}

impl Process {
    /// Waits until the command runs; its process id. Nothing is lost when this
    /// is cancelled.
    pub(crate) async fn started(&mut self) -> Result<i32, StartError> {
        match self.next_event().await {
            Some(Event::Started { pid }) => Ok(pid),
            Some(Event::Failed { reason }) => Err(StartError::Command { reason }),
            Some(Event::Exited { .. } | Event::Signaled { .. }) | None => {
                self.kill_what_is_left().await;
                Err(StartError::SupervisorLost)
            }
        }
    }

    /// Has the supervisor stop the command: SIGTERM, and SIGKILL after the
    /// grace.
    pub(crate) fn stop(&mut self) {
        self.lifeline = None;
    }

    /// Waits until nothing is left of it. Nothing is lost when this is
    /// cancelled.
    pub(crate) async fn ended(&mut self) -> Ending {
        loop {
            match self.next_event().await {
                Some(Event::Exited { code }) => return Ending::Exited { code },
                Some(Event::Signaled { signal }) => return Ending::Signaled { signal },
                // It ended, or never was, before it could be seen to run.
                Some(Event::Started { .. } | Event::Failed { .. }) => {}
                None => {
                    self.kill_what_is_left().await;
                    return Ending::SupervisorLost;
                }
            }
        }
    }

    /// `None` when the supervisor has ended, which ends its output.
    async fn next_event(&mut self) -> Option<Event> {
        let line = self.events.next_line().await.ok().flatten()?;
        let event = serde_json::from_str(&line)
            .inspect_err(|error| warn!(line, %error, "not a line of a supervisor"))
            .ok()?;
        if let Event::Started { pid } = event {
            self.pid = Some(pid);
        }
        Some(event)
    }

    /// Does what a supervisor that was killed can do no more.
    async fn kill_what_is_left(&self) {
        let group = self.pid.map(Pid::from_raw);
        kill_all([self.mark.clone()].into(), group).await;
    }
}

/// Kills what is left of routes that an agent before this one ran. Only after
/// this patience: their supervisors know that it ended, and have begun to stop
/// them.
pub(crate) async fn kill_lost(route_ids: Vec<String>, patience: Duration) {
    if !route_ids.is_empty() {
        time::sleep(patience).await;
        let marks = route_ids.iter().map(|id| format!("{MARK}={id}"));
        kill_all(marks.collect(), None).await;
    }
}

async fn kill_all(marks: HashSet<String>, group: Option<Pid>) {
    let marks = Arc::new(marks);
    for _ in 0..SWEEPS {
        let marks = Arc::clone(&marks);
        let swept = tokio::task::spawn_blocking(move || {
            let alive = procfs::alive_with_mark(&marks, group);
            for process in &alive {
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

/// The name of the environment's entry that marks the processes of a route.
pub(crate) const MARK: &str = "VIRIDIAN_ROUTE_ID";

const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
const SWEEPS: usize = 100;
const SWEEP_INTERVAL: Duration = Duration::from_millis(20);
