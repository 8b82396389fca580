//! The environment of the demonstration: a server, its database, and an agent. All of
//! it is removed at the end, however the demonstration ends.

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, AgentError};
use viridian_client::ServerTarget;
use viridian_server::{Config, Server, StartError};

use super::DemoError;
use crate::agent;

/// The folder of the database, for the time of the demonstration.
pub(super) struct TempFolder(TempDir);

impl TempFolder {
    pub(super) fn create() -> Result<Self, DemoError> {
        let folder = tempfile::Builder::new().prefix("viridian-demo-").tempdir();
        folder.map(Self).map_err(DemoError::Folder)
    }

    fn database_url(&self) -> String {
        format!("sqlite:{}", self.0.path().join("viridian.db").display())
    }

    /// Removes the folder. Tries again for a while, because a process that is ending
    /// may still write into it.
    pub(super) fn remove(self) -> Result<(), DemoError> {
        // The drop of the TempDir would try once only, and ignore a failure.
        let path = self.0.keep();
        for _ in 0..MAX_REMOVAL_ATTEMPTS {
            if is_gone(&path) {
                return Ok(());
            }
            std::thread::sleep(REMOVAL_INTERVAL);
        }
        fs::remove_dir_all(&path).map_err(DemoError::Folder)
    }
}

fn is_gone(path: &Path) -> bool {
    match fs::remove_dir_all(path) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The server and the agent, as far as they were started.
#[derive(Default)]
pub(super) struct DemoEnvironment {
    /// A start that is running. It is a task, so that a signal does not cancel it
    /// halfway: [`Self::stop`] waits for the server, and shuts it down.
    starting: Option<JoinHandle<Result<Server, StartError>>>,
    server: Option<Server>,
    agent: Option<JoinHandle<Result<(), AgentError>>>,
    stop_agent: CancellationToken,
}

impl DemoEnvironment {
    /// Starts the server, then the agent. Returns the server's address.
    pub(super) async fn start(&mut self, folder: &TempFolder) -> Result<SocketAddr, DemoError> {
        // The default of Config is a free port of loopback.
        let config = Config::new(folder.database_url());
        let starting = self.starting.insert(tokio::spawn(Server::start(config)));
        let started = starting.await;
        self.starting = None;
        let server = self.server.insert(started.map_err(DemoError::Crashed)??);

        let address = server.local_addr();
        let config = AgentConfig {
            server: ServerTarget::new(&address.to_string()).map_err(DemoError::Address)?,
            resource_group: RESOURCE_GROUP.to_owned(),
            supervisor: agent::supervisor_command().map_err(DemoError::Executable)?,
            stop_grace: STOP_GRACE,
            health_repeat: HEALTH_REPEAT,
            // No agent comes after this one, so that none could report lost routes.
            state: None,
            // Output of replicas would tear the view.
            quiet_routes: true,
        };
        let agent = viridian_agent::run(config, self.stop_agent.clone());
        self.agent = Some(tokio::spawn(agent));
        Ok(address)
    }

    /// Resolves when the server or the agent stops unexpectedly.
    pub(super) async fn failure(&mut self) -> DemoError {
        let (Some(server), Some(agent)) = (&mut self.server, &mut self.agent) else {
            // Nothing runs that could fail: an error of the start is reported by `start`.
            return std::future::pending().await;
        };
        let ended = tokio::select! {
            failure = server.failed() => return DemoError::ServerFailed(failure),
            ended = agent => ended,
        };
        // The handle has resolved: `stop` would panic if it awaited it again.
        self.agent = None;
        agent_error(ended)
    }

    /// Stops the agent with its routes, then the server.
    pub(super) async fn stop(&mut self) -> Result<(), DemoError> {
        self.stop_agent.cancel();
        // The agent first: it reports the end of its routes to the server.
        let agent = match self.agent.take() {
            Some(agent) => tokio::time::timeout(AGENT_STOP_TIMEOUT, agent).await,
            None => Ok(Ok(Ok(()))),
        };
        if let Some(starting) = self.starting.take() {
            // A server that was starting must be shut down too: its database is in the folder that
            // is about to be removed.
            self.server = starting.await.ok().and_then(Result::ok);
        }
        if let Some(server) = self.server.take() {
            server.shutdown().await;
        }
        // Only now: the server is shut down even if the agent hangs.
        match agent {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(ended) => Err(agent_error(ended)),
            Err(_) => Err(DemoError::AgentHangs),
        }
    }
}

fn agent_error(ended: Result<Result<(), AgentError>, JoinError>) -> DemoError {
    match ended {
        Ok(Ok(())) => DemoError::AgentEnded,
        Ok(Err(error)) => DemoError::Agent(error),
        Err(error) => DemoError::Crashed(error),
    }
}

/// The resource group of the agent and of the deployment.
pub(super) const RESOURCE_GROUP: &str = "demo";

const HEALTH_REPEAT: Duration = Duration::from_secs(10);
const STOP_GRACE: Duration = Duration::from_secs(2);
const AGENT_STOP_TIMEOUT: Duration = Duration::from_secs(6);
const MAX_REMOVAL_ATTEMPTS: u32 = 20;
const REMOVAL_INTERVAL: Duration = Duration::from_millis(25);
