//! Real processes: the supervisor by itself, and the whole agent against a
//! server that the tests script. Everything is on loopback.

mod agent;
mod server;
mod supervisor;
mod support;
