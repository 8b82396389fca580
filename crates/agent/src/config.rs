use std::{ffi::OsString, path::PathBuf, time::Duration};

use viridian_client::ServerTarget;

/// What an agent is told at its start.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// The server, and what to show there.
    pub server: ServerTarget,
    /// The resource group whose assignments it takes. Usually `default`; passed
    /// to the server as it is, the empty one included.
    pub resource_group: String,
    /// The program that supervises a route and its leading arguments, such as
    /// this executable and `route-supervisor`. The agent appends
    /// `--grace-ms N [--quiet] -- COMMAND ARGS…`, and the program is to call
    /// [`supervise`](crate::supervise) with them.
    pub supervisor: Vec<OsString>,
    /// How long a route may take to end after SIGTERM, before SIGKILL.
    /// Usually 10 s.
    pub stop_grace: Duration,
    /// How often a health that has not changed is told again, so that silence
    /// means something. Usually 10 s, and never more often than every 100 ms.
    pub health_repeat: Duration,
    /// The folder in which it notes which routes run, for the next agent to report
    /// their end if this one is killed. No other agent may have it. Without one
    /// they stay as they were reported last.
    pub state: Option<PathBuf>,
    /// Whether the output of the routes is discarded. Otherwise it goes to
    /// standard error.
    pub quiet_routes: bool,
}
