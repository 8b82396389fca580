//! The agent of Viridian: a scheduler and health checker for one machine.
//!
//! It follows the assignments of one resource group, runs each route as a process with
//! a port of its own, checks it over HTTP, and reports its status and health. [`run`]
//! is the agent; [`supervise`] is the small process between the agent and each route.
//!
//! # No process outlives the agent
//!
//! Every route has a supervisor, a process of its own. It holds one end of a pipe, and
//! only the agent holds the other. A stop and the agent's death are therefore the same
//! event to it, the end of the pipe, and have the same effect: SIGTERM to the route's
//! process group, SIGKILL after the grace, and SIGKILL for all processes that the route
//! left running, daemons included. This holds when the agent is killed with SIGKILL.
//!
//! When a supervisor is killed with SIGKILL, the agent notices and kills the processes
//! of the route. Only if the agent and a supervisor are killed with SIGKILL at the same
//! moment do processes remain. The next agent finds the route in its journal, kills
//! what remains after the grace, and reports the end.
//!
//! It relies on Linux: child subreapers and `/proc`.

mod agent;
mod assignments;
mod config;
mod journal;
mod outbox;
mod ports;
mod probe;
mod process;
mod procfs;
mod protocol;
mod reporter;
mod route;
mod route_output;
mod routes;
mod supervisor;

pub use agent::{AgentError, run};
pub use config::AgentConfig;
pub use supervisor::{SupervisorConfig, supervise};
