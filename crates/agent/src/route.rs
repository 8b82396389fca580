//! One route: its process from start to end, and its health in between.

use std::{collections::BTreeMap, convert::Infallible, fmt, pin::pin, sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::interval};
use tracing::info;
use viridian_proto::v1::{Revision, Route, RouteHealthReport, RouteStatus, RouteStatusReport};

use crate::{
    journal::RouteJournal,
    outbox::Outbox,
    ports::PortPool,
    probe::{self, HealthVerdict, ProbePlan},
    process::{LaunchSpec, ProcessLauncher, ROUTE_MARK, RouteProcess},
    protocol::ProcessEnd,
};

/// What all routes of an agent share.
#[derive(Debug)]
pub(crate) struct AgentContext {
    pub(crate) launcher: ProcessLauncher,
    pub(crate) ports: PortPool,
    pub(crate) probes: reqwest::Client,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) journal: RouteJournal,
    pub(crate) health_repeat: Duration,
}

/// A route to run. It has no Debug form: the environment may have secrets.
pub(crate) struct RouteSpec {
    pub(crate) route_id: String,
    revision: i64,
    command: Vec<String>,
    environ: Vec<(String, String)>,
    plan: ProbePlan,
}

impl RouteSpec {
    /// A revision without a specification has no command, and cannot be started.
    pub(crate) fn new(
        route: Route,
        revision: Option<Revision>,
        secret_environ: BTreeMap<String, String>,
    ) -> Self {
        let revision = revision.unwrap_or_default();
        let spec = revision.spec.unwrap_or_default();
        Self {
            route_id: route.id,
            revision: revision.number,
            command: spec.command,
            environ: spec.environ.into_iter().chain(secret_environ).collect(),
            plan: ProbePlan::from(spec.health_check.unwrap_or_default()),
        }
    }
}

/// A command to a running route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Report status and health again.
    Report,
    /// Stop the process.
    Stop,
}

/// How a route ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RouteOutcome {
    NotStarted {
        reason: String,
    },
    Ended(ProcessEnd),
    /// A stop was requested before the process ran.
    StoppedAtStart,
}

impl fmt::Display for RouteOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { reason } => f.write_str(reason),
            Self::Ended(ending) => ending.fmt(f),
            Self::StoppedAtStart => f.write_str("stopped before it had started"),
        }
    }
}

/// Runs a route to its end. Reports RUNNING and the health; the caller reports the
/// end. Stops when the sender of the commands is dropped.
pub(crate) async fn run(
    context: Arc<AgentContext>,
    spec: RouteSpec,
    mut commands: mpsc::UnboundedReceiver<Command>,
) -> RouteOutcome {
    let not_started = |error: &dyn fmt::Display| RouteOutcome::NotStarted {
        reason: error.to_string(),
    };
    let port = match context.ports.lease() {
        Ok(port) => port,
        Err(error) => return not_started(&format_args!("no free port: {error}")),
    };
    let address = format!("127.0.0.1:{}", port.port());
    let mut process = match context.launcher.launch(launch(&spec, port.port())) {
        Ok(process) => process,
        Err(error) => return not_started(&error),
    };
    let started = tokio::select! {
        // A stop wins over a start that has just succeeded: otherwise RUNNING would be
        // reported for a route that the server has given up.
        biased;
        () = stop_requested(&mut commands) => {
            process.stop();
            process.ended().await;
            return RouteOutcome::StoppedAtStart;
        }
        started = process.started() => started,
    };
    match started {
        Ok(pid) => {
            // Before the report: after a crash in between, only the journal would know
            // that the route must be reported as ended.
            context.journal.add(&spec.route_id).await;
            let running = RunningRoute {
                context: &context,
                route_id: &spec.route_id,
                pid,
                address,
                health: None,
            };
            RouteOutcome::Ended(running.until_end(process, spec.plan, commands).await)
        }
        Err(error) => not_started(&error),
    }
}

fn launch(spec: &RouteSpec, port: u16) -> LaunchSpec<'_> {
    let own = spec.environ.iter();
    LaunchSpec {
        command: &spec.command,
        environ: own
            .map(|(name, value)| (name.as_str(), value.clone()))
            .chain([
                ("PORT", port.to_string()),
                ("VIRIDIAN_REVISION", spec.revision.to_string()),
            ])
            .collect(),
        mark: (ROUTE_MARK, &spec.route_id),
    }
}

async fn stop_requested(commands: &mut mpsc::UnboundedReceiver<Command>) {
    while let Some(Command::Report) = commands.recv().await {}
}

struct RunningRoute<'a> {
    context: &'a AgentContext,
    route_id: &'a str,
    pid: i32,
    address: String,
    health: Option<RouteHealthReport>,
}

impl RunningRoute<'_> {
    async fn until_end(
        mut self,
        mut process: RouteProcess,
        plan: ProbePlan,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) -> ProcessEnd {
        info!(
            route_id = self.route_id,
            pid = self.pid,
            address = self.address,
            "route runs"
        );
        self.report_status();
        let (sender, mut verdicts) = mpsc::channel(1);
        let client = self.context.probes.clone();
        let mut repeat = interval(self.context.health_repeat);
        let mut probing = pin!(probe::watch_health(
            client,
            self.address.clone(),
            plan,
            sender
        ));
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Report) => {
                        self.report_status();
                        self.report_health();
                    }
                    Some(Command::Stop) | None => break,
                },
                ending = process.ended() => return ending,
                Some(verdict) = verdicts.recv() => self.take_verdict(verdict),
                _ = repeat.tick() => self.report_health(),
                never = &mut probing => match never as Infallible {},
            }
        }
        process.stop();
        process.ended().await
    }

    /// Remembers what a check says, for the next repeat. Reports it now if it is new.
    fn take_verdict(&mut self, verdict: HealthVerdict) {
        let HealthVerdict { health, detail, at } = verdict;
        let known = self.health.as_ref();
        let is_new = known.is_none_or(|it| it.health() != health || it.detail != detail);
        if is_new {
            let (route_id, health) = (self.route_id, health.as_str_name());
            info!(route_id, health, detail, "health changed");
        }
        self.health = Some(RouteHealthReport {
            route_id: self.route_id.to_owned(),
            health: health.into(),
            observed_at: Some(at.into()),
            session_id: self.pid.to_string(),
            detail,
        });
        if is_new {
            self.report_health();
        }
    }

    fn report_status(&self) {
        self.context.outbox.report_status(RouteStatusReport {
            route_id: self.route_id.to_owned(),
            status: RouteStatus::Running.into(),
            session_id: self.pid.to_string(),
            address: self.address.clone(),
            failure: String::new(),
        });
    }

    fn report_health(&self) {
        if let Some(report) = &self.health {
            self.context.outbox.report_health(report.clone());
        }
    }
}
