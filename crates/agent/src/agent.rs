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
    journal::{JournalError, RouteJournal},
    outbox::Outbox,
    ports::PortPool,
    probe,
    process::{self, LaunchError, ProcessLauncher},
    reporter,
    route::AgentContext,
    routes::LocalRoutes,
};

/// The agent cannot work, and a retry would not help.
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
        /// What went wrong.
        reason: String,
    },
    /// Another agent uses the same folder for its state.
    #[error("another agent uses the folder {}: each needs one of its own", folder.display())]
    StateInUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder for the state cannot be used.
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
/// While the server is away, routes keep running, reports wait, and the agent
/// reconnects without end. Routes of a killed agent before this one are reported as
/// ended first. At shutdown the agent stops all routes, tries for at most 3 s to
/// report their ends, and returns `Ok`. When the future is dropped instead, the
/// routes are stopped too, but not reported.
///
/// # Errors
///
/// Only at the start, for a configuration that can never work.
pub async fn run(config: AgentConfig, shutdown: CancellationToken) -> Result<(), AgentError> {
    let channel = config.server.connect_lazy()?;
    let (journal, lost) = journal(&config)?;
    let outbox = Arc::new(Outbox::default());
    let context = Arc::new(AgentContext {
        launcher: launcher(&config).await?,
        ports: PortPool::default(),
        probes: probe::client().map_err(AgentError::HealthChecks)?,
        outbox: Arc::clone(&outbox),
        journal: journal.clone(),
        health_repeat: config.health_repeat.max(MIN_HEALTH_REPEAT),
    });

    let closing = CancellationToken::new();
    let delivery = reporter::deliver(channel.clone(), outbox, journal, closing.clone());
    let delivery = AbortOnDropHandle::new(tokio::spawn(delivery));
    let mut routes = LocalRoutes::new(context);
    routes.report_lost(&lost);
    let stop_timeout = config.stop_grace + KILL_MARGIN;
    // In the background: it first waits for supervisors that end by themselves.
    let sweep = process::kill_lost(lost, stop_timeout);
    let _sweep = AbortOnDropHandle::new(tokio::spawn(sweep));
    take_assignments(channel, config.resource_group, &mut routes, &shutdown).await;

    info!("stopping all routes");
    if time::timeout(stop_timeout, routes.stop_all())
        .await
        .is_err()
    {
        warn!("a route does not end; its supervisor keeps trying");
    }
    // Only now: the reporter returns when the outbox is empty and nothing can follow.
    closing.cancel();
    if time::timeout(FLUSH_TIMEOUT, delivery).await.is_err() {
        warn!("the last reports could not be delivered");
    }
    Ok(())
}

async fn take_assignments(
    channel: AuthChannel,
    resource_group: String,
    routes: &mut LocalRoutes,
    shutdown: &CancellationToken,
) {
    let (sender, mut inbox) = mpsc::channel::<Assignment>(MAX_PENDING_ASSIGNMENTS);
    let following = assignments::follow(channel, resource_group, sender);
    let _following = AbortOnDropHandle::new(tokio::spawn(following));
    loop {
        tokio::select! {
            // Without an order a busy inbox could delay the shutdown.
            biased;
            () = shutdown.cancelled() => return,
            true = routes.next_end() => {}
            Some(assignment) = inbox.recv() => routes.accept(assignment),
            else => return,
        }
    }
}

fn journal(config: &AgentConfig) -> Result<(RouteJournal, Vec<String>), AgentError> {
    let Some(folder) = &config.state else {
        return Ok(Default::default());
    };
    RouteJournal::open(folder).map_err(|error| {
        let folder = folder.clone();
        match error {
            JournalError::InUse => AgentError::StateInUse { folder },
            JournalError::Io(source) => AgentError::State { folder, source },
        }
    })
}

async fn launcher(config: &AgentConfig) -> Result<ProcessLauncher, AgentError> {
    let launcher = ProcessLauncher::new(config).ok_or(AgentError::NoSupervisor)?;
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

/// Returns the part of the error that [`AgentError::Supervisor`] does not print.
fn reason_of(error: LaunchError) -> String {
    match error {
        LaunchError::Supervisor { source, .. } => source.to_string(),
        error => error.to_string(),
    }
}

const MIN_HEALTH_REPEAT: Duration = Duration::from_millis(100);
const MAX_PENDING_ASSIGNMENTS: usize = 64;
/// How long a route may take to end after SIGKILL.
const KILL_MARGIN: Duration = Duration::from_secs(5);
/// How long the agent tries to deliver its last reports.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
