//! The client over real connections.
//!
//! - `test_server`: a real server in this process, on a SQLite file that outlives it.
//! - `scripted_server`: a gRPC server that streams what a test says, for the ends of a
//!   stream that a real server rarely has.
//! - `instant_scheduler`: a scheduler and health checker without processes, which makes
//!   every route healthy at once.

mod connect;
mod instant_scheduler;
mod resume;
mod scripted_server;
mod test_server;
mod wait;
