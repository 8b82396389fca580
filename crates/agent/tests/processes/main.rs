//! Real processes: the supervisor by itself, and the whole agent against a scripted
//! server. Everything is on loopback.
//!
//! - `scripted_server`: a `RouteService` over a real port. It hands out the assignments
//!   of a test and applies reports by the rules of the contract.
//! - `test_agent`: an agent in this process, or in one of its own that can be killed.
//! - `support`: finds and awaits processes by a mark in their environment.

mod ends;
mod journal;
mod reports;
mod routes;
mod scripted_server;
mod supervisor;
mod support;
mod test_agent;
