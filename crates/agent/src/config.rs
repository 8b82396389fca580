use std::{ffi::OsString, path::PathBuf, time::Duration};

use viridian_client::ServerTarget;

/// The configuration of an agent.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The server, and what to show there.
    pub server: ServerTarget,
    /// The resource group whose assignments it takes, usually `default`. Sent to the
    /// server unchanged, also when it is empty.
    pub resource_group: String,
    /// The program that supervises a route and its leading arguments, such as this
    /// executable and `route-supervisor`. The agent appends
    /// `--grace-ms N [--quiet] -- COMMAND ARGS…`. The program must call
    /// [`supervise`](crate::supervise) with them.
    pub supervisor: Vec<OsString>,
    /// The time between SIGTERM and SIGKILL. Usually 10 s.
    pub stop_grace: Duration,
    /// How often the agent repeats a health that has not changed, so that the server
    /// notices a lost agent. Usually 10 s; at least 100 ms.
    pub health_repeat: Duration,
    /// The folder for the journal of running routes. After this agent was killed, the
    /// next one reports their ends from it. Each agent needs a folder of its own.
    /// Without a folder the routes of a killed agent stay as reported last.
    pub state: Option<PathBuf>,
    /// Whether the output of routes is discarded. Otherwise it goes to standard error.
    pub quiet_routes: bool,
}
