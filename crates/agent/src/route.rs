//! One route: a process, from its start to its end, and its health in between.

use std::{
    convert::Infallible,
    fmt,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{sync::mpsc, time::interval};
use tracing::info;
use viridian_proto::v1::{Revision, Route, RouteHealthReport, RouteStatus, RouteStatusReport};

use crate::{
    outbox::Outbox,
    ports::Ports,
    probe::{self, Plan},
    process::{Launch, Launcher, MARK, Process},
    protocol::Ending,
    record::Record,
};

/// What the routes of an agent share.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) launcher: Launcher,
    pub(crate) ports: Ports,
    pub(crate) probes: reqwest::Client,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) record: Record,
    pub(crate) health_repeat: Duration,
}

/// A route to run.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) route_id: String,
    revision: i64,
    command: Vec<String>,
    environ: Vec<(String, String)>,
    plan: Plan,
}

impl Work {
    /// A revision without a specification becomes one without a command, which
    /// cannot be started.
    pub(crate) fn new(route: Route, revision: Option<Revision>) -> Self {
        let revision = revision.unwrap_or_default();
        let spec = revision.spec.unwrap_or_default();
        Self {
            route_id: route.id,
            revision: revision.number,
            command: spec.command,
            environ: spec.environ.into_iter().collect(),
            plan: Plan::from(spec.health_check.unwrap_or_default()),
        }
    }
}

/// What a running route is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Report again what is known.
    Report,
    /// End.
    Stop,
}

/// How a route came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    NotStarted {
        reason: String,
    },
    Ended(Ending),
    /// It was told to stop before it was seen to run.
    StoppedAtStart,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { reason } => f.write_str(reason),
            Self::Ended(ending) => ending.fmt(f),
            Self::StoppedAtStart => f.write_str("stopped before it had started"),
        }
    }
}

/// Runs a route to its end. Reports RUNNING and its health, and leaves the
/// report of its end to the caller. When the sender of the orders is dropped it
/// stops.
pub(crate) async fn run(
    machine: Arc<Machine>,
    work: Work,
    mut orders: mpsc::UnboundedReceiver<Order>,
) -> Outcome {
    let not_started = |error: &dyn fmt::Display| Outcome::NotStarted {
        reason: error.to_string(),
    };
    let port = match machine.ports.lease() {
        Ok(port) => port,
        Err(error) => return not_started(&format_args!("no free port: {error}")),
    };
    let address = format!("127.0.0.1:{}", port.port());
    let mut process = match machine.launcher.launch(launch(&work, port.port())) {
        Ok(process) => process,
        Err(error) => return not_started(&error),
    };
    let started = tokio::select! {
        biased;
        () = stop_ordered(&mut orders) => {
            process.stop();
            process.ended().await;
            return Outcome::StoppedAtStart;
        }
        started = process.started() => started,
    };
    match started {
        Ok(pid) => {
            machine.record.add(&work.route_id).await;
            let running = Running {
                machine: &machine,
                route_id: &work.route_id,
                pid,
                address,
                health: None,
            };
            Outcome::Ended(running.until_end(process, work.plan, orders).await)
        }
        Err(error) => not_started(&error),
    }
}

fn launch(work: &Work, port: u16) -> Launch<'_> {
    let own = work.environ.iter();
    Launch {
        command: &work.command,
        environ: own
            .map(|(name, value)| (name.as_str(), value.clone()))
            .chain([
                ("PORT", port.to_string()),
                ("VIRIDIAN_REVISION", work.revision.to_string()),
            ])
            .collect(),
        mark: (MARK, &work.route_id),
    }
}

async fn stop_ordered(orders: &mut mpsc::UnboundedReceiver<Order>) {
    while let Some(Order::Report) = orders.recv().await {}
}

struct Running<'a> {
    machine: &'a Machine,
    route_id: &'a str,
    pid: i32,
    address: String,
    health: Option<RouteHealthReport>,
}

impl Running<'_> {
    async fn until_end(
        mut self,
        mut process: Process,
        plan: Plan,
        mut orders: mpsc::UnboundedReceiver<Order>,
    ) -> Ending {
        info!(
            route_id = self.route_id,
            pid = self.pid,
            address = self.address,
            "route runs"
        );
        self.report_status();
        let (sender, mut verdicts) = mpsc::channel(1);
        let client = self.machine.probes.clone();
        let mut repeat = interval(self.machine.health_repeat);
        let mut probing = pin!(probe::watch_health(
            client,
            self.address.clone(),
            plan,
            sender
        ));
        loop {
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(Order::Report) => {
                        self.report_status();
                        self.report_health();
                    }
                    Some(Order::Stop) | None => break,
                },
                ending = process.ended() => return ending,
                Some(health) = verdicts.recv() => {
                    info!(route_id = self.route_id, health = health.as_str_name(), "health changed");
                    self.health = Some(RouteHealthReport {
                        route_id: self.route_id.to_owned(),
                        health: health.into(),
                        observed_at: Some(SystemTime::now().into()),
                    });
                    self.report_health();
                }
                _ = repeat.tick() => self.report_health(),
                never = &mut probing => match never as Infallible {},
            }
        }
        process.stop();
        process.ended().await
    }

    fn report_status(&self) {
        self.machine.outbox.report_status(RouteStatusReport {
            route_id: self.route_id.to_owned(),
            status: RouteStatus::Running.into(),
            session_id: self.pid.to_string(),
            address: self.address.clone(),
            failure: String::new(),
        });
    }

    fn report_health(&self) {
        if let Some(report) = &self.health {
            self.machine.outbox.report_health(report.clone());
        }
    }
}
