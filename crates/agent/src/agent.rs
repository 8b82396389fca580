use std::{ffi::OsString, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{self, Instant},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::{info, warn};
use viridian_client::{AuthChannel, ConnectError};
use viridian_proto::v1::Assignment;

use crate::{
    AgentConfig, assignments,
    outbox::Outbox,
    ports::Ports,
    probe,
    process::{self, Launcher, StartError},
    record::{Record, RecordError},
    reporter,
    route::Machine,
    routes::Routes,
};

/// An agent cannot work, and a retry would not help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The TLS files for the connection to the server cannot be used.
    #[error(transparent)]
    Server(#[from] ConnectError),
    /// The configuration names no supervisor.
    #[error("no supervisor is configured")]
    NoSupervisor,
    /// The supervisor does not work.
    #[error("the supervisor {} does not work: {reason}", program.display())]
    Supervisor {
        /// The program.
        program: OsString,
        /// What it did.
        reason: String,
    },
    /// Another agent has the same folder for its state.
    #[error("another agent uses the folder {}: each needs one of its own", folder.display())]
    StateInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder for its state cannot be used.
    #[error("cannot use the folder {}: {source}", folder.display())]
    State {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client for health checks cannot be made.
    #[error("cannot make the client for health checks")]
    HealthChecks(#[source] reqwest::Error),
}

/// Runs the agent until `shutdown` is cancelled.
///
/// The server may come and go: the agent reconnects for ever, its routes run
/// on, and its reports wait. What an agent before it did not report is over, and
/// reported first. At shutdown it stops all routes, reports their end
/// for at most 3 s, and returns `Ok`. When the returned future is dropped
/// instead, the routes are stopped all the same, but not reported.
///
/// # Errors
///
/// Only at the start, and only for what can never work.
pub async fn run(config: AgentConfig, shutdown: CancellationToken) -> Result<(), AgentError> {
    let channel = config.server.connect_lazy()?;
    let (record, lost) = record(&config)?;
    let outbox = Arc::new(Outbox::default());
    let machine = Arc::new(Machine {
        launcher: launcher(&config).await?,
        ports: Ports::default(),
        probes: probe::client().map_err(AgentError::HealthChecks)?,
        outbox: Arc::clone(&outbox),
        record: record.clone(),
        health_repeat: config.health_repeat.max(LEAST_REPEAT),
    });

    let closing = CancellationToken::new();
    let delivery = reporter::deliver(channel.clone(), outbox, record, closing.clone());
    let delivery = AbortOnDropHandle::new(tokio::spawn(delivery));
    let mut routes = Routes::new(machine);
    routes.report_lost(&lost);
    let patience = config.stop_grace + STOP_MARGIN;
    let sweep = process::kill_lost(lost, patience);
    let _sweep = AbortOnDropHandle::new(tokio::spawn(sweep));
    take_assignments(channel, config.resource_group, &mut routes, &shutdown).await;

    info!("stopping all routes");
    if time::timeout(patience, routes.stop_all()).await.is_err() {
        warn!("a route does not end; its supervisor goes on trying");
    }
    closing.cancel();
    if time::timeout(FAREWELL, delivery).await.is_err() {
        warn!("the last reports could not be delivered");
    }
    Ok(())
}

async fn take_assignments(
    channel: AuthChannel,
    resource_group: String,
    routes: &mut Routes,
    shutdown: &CancellationToken,
) {
    let (sender, mut inbox) = mpsc::channel::<Assignment>(WAITING_ASSIGNMENTS);
    let following = assignments::follow(channel, resource_group, sender);
    let _following = AbortOnDropHandle::new(tokio::spawn(following));
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            true = routes.next_end() => {}
            Some(assignment) = inbox.recv() => routes.accept(assignment),
            else => return,
        }
    }
}

fn record(config: &AgentConfig) -> Result<(Record, Vec<String>), AgentError> {
    let Some(folder) = &config.state else {
        return Ok(Default::default());
    };
    Record::open(folder).map_err(|error| {
        let folder = folder.clone();
        match error {
            RecordError::InUse => AgentError::StateInUse { folder },
            RecordError::Io(source) => AgentError::State { folder, source },
        }
    })
}

async fn launcher(config: &AgentConfig) -> Result<Launcher, AgentError> {
    let launcher = Launcher::new(config).ok_or(AgentError::NoSupervisor)?;
    let begun = Instant::now();
    match launcher.check().await {
        Ok(()) => {
            info!(took = ?begun.elapsed(), "the supervisor works");
            Ok(launcher)
        }
        Err(error) => Err(AgentError::Supervisor {
            program: config.supervisor.first().cloned().unwrap_or_default(),
            reason: reason_of(error),
        }),
    }
}

/// The part of the error that [`AgentError::Supervisor`] does not say itself.
fn reason_of(error: StartError) -> String {
    match error {
        StartError::Supervisor { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

const LEAST_REPEAT: Duration = Duration::from_millis(100);
const WAITING_ASSIGNMENTS: usize = 64;
/// What a supervisor may need after SIGKILL.
const STOP_MARGIN: Duration = Duration::from_secs(5);
/// How long the last reports are tried.
const FAREWELL: Duration = Duration::from_secs(3);
