//! The agents of the tests.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, AgentError, run};
use viridian_client::ServerTarget;

use crate::{
    scripted_server::ScriptedServer,
    support::{HELPER, WAIT_TIMEOUT},
};

/// An agent in this process.
pub(crate) struct TestAgent {
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), AgentError>>,
}

impl TestAgent {
    pub(crate) fn start(server: &ScriptedServer) -> Self {
        Self::start_with(config(server.url()))
    }

    pub(crate) fn start_with(config: AgentConfig) -> Self {
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(config, shutdown.clone()));
        Self { shutdown, running }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        timeout(WAIT_TIMEOUT, self.running)
            .await
            .expect("it stops in time")
            .expect("it does not panic")
            .expect("it stops without an error");
    }
}

/// An agent in a process of its own.
pub(crate) struct AgentProcess(Child);

impl AgentProcess {
    pub(crate) fn start(server: &ScriptedServer) -> Self {
        Self::spawn(Command::new(HELPER).args(["agent", &server.url()]))
    }

    pub(crate) fn start_in(server: &ScriptedServer, state: &Path) -> Self {
        let mut command = Command::new(HELPER);
        Self::spawn(command.args(["agent", &server.url()]).arg(state))
    }

    fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().expect("the helper program"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.0.id().cast_signed());
        kill(pid, signal).expect("it runs");
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.0.wait().expect("it ended");
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn config(server: String) -> AgentConfig {
    AgentConfig {
        server: ServerTarget::new(&server).expect("a URL"),
        resource_group: "default".into(),
        supervisor: vec![HELPER.into(), "supervisor".into()],
        stop_grace: Duration::from_millis(200),
        health_repeat: Duration::from_secs(10),
        state: None,
        quiet_routes: true,
    }
}

pub(crate) async fn get(address: &str, path: &str) {
    let url = format!("http://{address}{path}");
    let client = reqwest::Client::builder().no_proxy().build();
    // A route that is told to exit does not answer.
    let _ = client.expect("a client").get(url).send().await;
}

/// Counts the routes in the journal of an agent.
pub(crate) fn journal_len(state: &Path) -> usize {
    let routes = fs::read_dir(state.join("routes"));
    routes.expect("a folder").count()
}

pub(crate) fn new_route_id() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(crate) fn mark(route_id: &str) -> String {
    format!("VIRIDIAN_ROUTE_ID={route_id}")
}

pub(crate) const LOST: &str = "it ended with the agent that ran it";
