//! The agent of Viridian: a scheduler and health checker for one machine.
//!
//! It follows the assignments of one resource group, runs each route as a real
//! process with a port of its own, probes it over HTTP, and reports what became
//! of it. [`run`] is the agent; [`supervise`] is the small process that stands
//! between it and each route.
//!
//! # No process outlives the agent
//!
//! Every route has a supervisor, a process of its own that holds one end of a
//! pipe whose other end only the agent holds. A stop and the agent's death are
//! therefore one event to it, the end of the pipe, and both end the same way:
//! SIGTERM to the route's process group, SIGKILL after the grace, and SIGKILL
//! for whatever the route left behind, daemons included. This holds when the
//! agent is killed with SIGKILL.
//!
//! A supervisor that is itself killed with SIGKILL is noticed by the agent,
//! which then kills what is left of the route. Only if the agent and a
//! supervisor are both killed with SIGKILL at the same moment can the processes
//! of that route stay: until the next agent, which knows from its record what
//! ran, kills what is left of it once the grace is over, and reports its end.
//!
//! It relies on Linux: child subreapers and `/proc`.

mod agent;
mod assignments;
mod config;
mod outbox;
mod ports;
mod probe;
mod process;
mod procfs;
mod protocol;
mod record;
mod reporter;
mod route;
mod routes;
mod supervisor;

pub use agent::{AgentError, run};
pub use config::AgentConfig;
pub use supervisor::{SupervisorArgs, supervise};
