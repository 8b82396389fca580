//! Real replicas, and the agent that runs them.

use std::{path::Path, process::Stdio};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};
use viridian_proto::v1::{HealthCheck, RevisionSpec};

use super::{GROUP, Server, seconds, viridian, within};

/// Starts an agent of the test's group, with a state folder of its own.
pub(crate) fn agent(server: &Server, state: &Path) -> Child {
    let mut command = agent_command(server, state);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the agent can be started")
}

pub(crate) fn agent_command(server: &Server, state: &Path) -> Command {
    let mut command = viridian(&["agent", "--server", &server.url()]);
    command.args(["--resource-group", GROUP, "--quiet-routes"]);
    command.arg("--state-dir").arg(state);
    command
}

/// Ends an agent as a service manager does.
pub(crate) async fn end_agent(mut agent: Child) {
    let pid = agent.id().and_then(|id| i32::try_from(id).ok());
    kill(Pid::from_raw(pid.expect("it runs")), Signal::SIGTERM).expect("it runs");
    let status = within("its end", agent.wait()).await.expect("it ended");
    assert!(status.success(), "{status}");
}

/// What runs replicas that answer with a label.
pub(crate) fn replica(label: &str) -> RevisionSpec {
    let program = env!("CARGO_BIN_EXE_viridian");
    RevisionSpec {
        command: [program, "demo-replica", "--label", label]
            .map(Into::into)
            .into(),
        health_check: Some(HealthCheck {
            path: "/healthz".to_owned(),
            interval: seconds(0.1),
            ..HealthCheck::default()
        }),
        ..RevisionSpec::default()
    }
}
